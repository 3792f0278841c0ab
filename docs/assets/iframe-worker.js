// A browser starts no worker from a file:// page, so the search would stay silent there. This runs the worker's
// script in a hidden frame of the page instead; over http nothing is changed.
if (location.protocol === "file:") {
  const send = (target, data) => setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data })))

  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inner = this.frame.contentWindow
      const page = inner.document
      inner.postMessage = data => send(this, structuredClone(data))
      inner.importScripts = (...names) => names.reduce(
        (before, name) => before.then(() => this.load(page, new URL(name, url).href)), Promise.resolve())
      this.load(page, String(url)).then(() => {
        this.isReady = true
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      })
    }

    load(page, src) {
      return new Promise((resolve, reject) => {
        const script = page.createElement("script")
        script.src = src
        script.onload = resolve
        script.onerror = reject
        page.body.appendChild(script)
      })
    }

    postMessage(data) {
      const inner = this.frame.contentWindow
      if (this.isReady) send(inner, inner.structuredClone(data))
      else this.waiting.push(data)
    }

    terminate() {
      this.frame.remove()
    }
  }
}
