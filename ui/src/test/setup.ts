import { cleanup, configure } from "@testing-library/react";
import { afterEach, beforeEach, vi } from "vitest";

// A busy machine is slow, not broken.
configure({ asyncUtilTimeout: 8000 });

// What Ant Design asks of a browser and jsdom does not have. Less motion: nothing to wait for.
window.matchMedia = (query: string) =>
  ({
    matches: query.includes("prefers-reduced-motion"),
    media: query,
    addListener: () => undefined,
    removeListener: () => undefined,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  }) as unknown as MediaQueryList;
class NoResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
}
window.ResizeObserver = NoResizeObserver;
// Looking through every rule of Ant Design's style sheets for every element takes seconds for each search by role, and
// no test depends on one: what is hidden by a style is hidden by an inline one.
window.getComputedStyle = (element) => (element as HTMLElement).style;

beforeEach(() => localStorage.clear());
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});
