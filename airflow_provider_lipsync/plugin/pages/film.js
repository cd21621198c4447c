// A video that tries its second copy when the first one cannot be had, and then says honestly why there is nothing.

import { inShort, whyNot } from "./ask.js";
import { safeAddress } from "./common.js";
import { announce, make, put, say } from "./dom.js";

const KEPT_STORED = "Stored copy.";
const KEPT_VENDOR = "The vendor's copy: its address holds for a time only.";

/** One video on a page. The element stays the same while its addresses do: nothing starts again by itself. */
export class Film {
  /** `eager`: its first frame is loaded before somebody asks. `onGone`: called when no copy could be had. */
  constructor({ eager = true, note = true, onGone = () => {} } = {}) {
    this.element = make("div", { class: "film" });
    this.video = null;
    this.note = note ? make("p", { class: "small muted film-note" }) : null;
    this.eager = eager;
    this.onGone = onGone;
    this.shown = "";
  }

  /** Show a view's video. Returns whether there is one. */
  show({ video, poster }, label) {
    const copies = copiesOf(video);
    const shown = JSON.stringify(copies);
    if (shown === this.shown) return copies.length > 0;
    this.shown = shown;
    this.video?.pause();
    this.video = null;
    if (copies.length === 0) put(this.element);
    else this.#begin(copies, safeAddress(poster, { own: true }), label);
    return copies.length > 0;
  }

  play() {
    this.video?.play().catch(() => {}); // an error is told by the element
    this.video?.focus({ preventScroll: true });
  }

  pause() {
    this.video?.pause();
  }

  #begin([first, ...others], poster, label) {
    const video = make("video", {
      controls: true,
      playsinline: true,
      preload: this.eager ? "metadata" : "none",
      poster,
      "aria-label": label,
    });
    this.video = video;
    this.others = others;
    const hasOthers = others.length > 0;
    video.addEventListener("loadedmetadata", () => takeShape(video));
    video.addEventListener("error", () => this.#onError(video, first, hasOthers));
    video.src = first.src;
    put(this.element, video, this.note);
    this.#tell(first.where === "stored" ? KEPT_STORED : KEPT_VENDOR);
  }

  #onError(video, first, hadOthers) {
    if (video !== this.video) return;
    const next = this.others.shift();
    if (next === undefined) {
      this.#giveUp(video, first, hadOthers);
      return;
    }
    const [at, played] = [video.currentTime, !video.paused];
    video.src = next.src;
    if (at > 0) video.addEventListener("loadedmetadata", () => (video.currentTime = at), { once: true });
    if (played) video.play().catch(() => {});
    this.#tell(`The stored copy could not be played. ${KEPT_VENDOR}`);
  }

  async #giveUp(video, first, hadOthers) {
    const why = first.where === "stored" ? await whyNot(first.src) : null;
    if (video !== this.video) return;
    const heading = make("h2", {}, "The video cannot be played");
    const told = first.where === "stored" ? storedWords(why, hadOthers) : VENDOR_WORDS;
    put(this.element, make("section", { class: "notice notice-warning" }, heading, make("p", {}, told)));
    announce("The video cannot be played");
    this.onGone();
  }

  #tell(text) {
    if (this.note !== null) say(this.note, text);
  }
}

const VENDOR_WORDS =
  "The vendor no longer gives it, or your network does not let it through: the vendor's address holds for a time only. " +
  "To keep videos, give the operator an output_path, or use LipsyncToObjectStorageOperator.";

function storedWords(why, hadOthers) {
  const isThere = "The stored copy is there, but this browser cannot play it.";
  const found = why === null ? isThere : `The stored copy cannot be had: ${inShort(why)}`;
  return `${found} ${hadOthers ? "The vendor's copy cannot be had either." : "No other copy is known."}`;
}

/** As large as there is room for, in the shape that the video has. */
function takeShape(video) {
  if (video.videoHeight === 0) return; // sound alone
  video.style.setProperty("--ratio", String(video.videoWidth / video.videoHeight));
  video.classList.add("shaped");
}

function copiesOf(video) {
  if (video === null || video === undefined) return [];
  const fallback = { src: video.fallback, where: "vendor" };
  return [{ src: video.src, where: video.where }, fallback].filter(
    ({ src, where }) => safeAddress(src, { own: where === "stored" }) !== null,
  );
}
