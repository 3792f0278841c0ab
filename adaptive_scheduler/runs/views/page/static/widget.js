// anywidget's side of the view: each place where the widget is shown has a view of its own.
import { mount } from "./view.js";

export default {
  render({ model, el }) {
    const view = Math.random().toString(36).slice(2);
    const listeners = [];
    const listen = (content) => {
      if (content.view === view) listeners.forEach((listener) => listener(content.message));
    };
    model.on("msg:custom", listen);
    const unmount = mount(el, {
      send: (message) => model.send({ view, message }),
      onMessage: (listener) => listeners.push(listener),
      isLive: true,
      mayChange: model.get("may_change"),
    });
    return () => {
      model.off("msg:custom", listen);
      unmount();
      model.send({ view, message: { type: "bye" } });
    };
  },
};
