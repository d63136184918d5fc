// Small things that all parts of the page do with its elements.

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no ${id}`)
  return found as T
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, said: Partial<HTMLElementTagNameMap[K]> = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), said)
  made.append(...children)
  return made
}

/** Tell the user what went wrong, until it is clicked away or some seconds have passed. */
export function tell(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  const shown = [...element("toasts").children].find((one) => one.textContent === message)
  shown?.remove()
  const toast = make("button", { className: "toast", textContent: message, title: "Close" })
  toast.onclick = () => toast.remove()
  element("toasts").append(toast)
  setTimeout(() => toast.remove(), 9000)
}

export function bytes(count: number): string {
  const unit = count >= 1 << 30 ? 30 : count >= 1 << 20 ? 20 : 10
  return `${(count / 2 ** unit).toFixed(count >= 10 * 2 ** unit ? 0 : 1)} ${{ 10: "kB", 20: "MB", 30: "GB" }[unit]}`
}
