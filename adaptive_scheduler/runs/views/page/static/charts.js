// Draws numbers: series over time, and the data of one learner. All texts and numbers come from Python.
import uPlot from "./uplot.js";

// `series`: [{label, values, fill, color}], drawn over `time` (seconds since 1970).
export function timeChart(element, options) {
  return null;
}
