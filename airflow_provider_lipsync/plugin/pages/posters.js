// Poster frames, a few at a time: a browser has six connections to a host, and a poster may take the server a second.
// What somebody asks for meanwhile (a video, the state of a job) finds a free one.

const AT_ONCE = 3;
const WIDE = 16 / 9; // what a card has room for
const NEAR = 0.05;
const AHEAD = "400px 0px"; // of what is in sight

/** Loads pictures when they come near to what is in sight. One that cannot be had goes away: what is below it stays. */
export class Posters {
  #line = [];
  #loading = 0;
  #near = new IntersectionObserver((seen) => this.#onNear(seen), { rootMargin: AHEAD });

  want(image) {
    this.#near.observe(image);
  }

  #onNear(seen) {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      this.#near.unobserve(target);
      this.#line.push(target);
    }
    this.#next();
  }

  #next() {
    while (this.#loading < AT_ONCE && this.#line.length > 0) {
      const image = this.#line.shift();
      if (!image.isConnected) continue;
      this.#loading += 1;
      image.addEventListener("load", () => (fit(image), this.#onEnd()), { once: true });
      image.addEventListener("error", () => (image.remove(), this.#onEnd()), { once: true });
      image.src = image.dataset.src;
    }
  }

  #onEnd() {
    this.#loading -= 1;
    this.#next();
  }
}

/** Fill the card where the picture is nearly as wide as it: no hairline at its side. */
function fit(image) {
  image.classList.toggle("fills", Math.abs(image.naturalWidth / image.naturalHeight - WIDE) < NEAR);
}
