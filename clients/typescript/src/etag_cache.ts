/** ETag cache: answers by their tags, so that an unchanged one is not sent again. */

/** A content and its tag. */
export interface Tagged {
  readonly etag: string;
  readonly text: string;
}

const LONGEST_TEXT = 16 * 1024 * 1024;

/** Keep the texts used last, up to 16 Mi characters. Each reader parses its own copy, so none can alter another's. */
export class EtagCache {
  readonly #kept = new Map<string, Tagged>();
  #length = 0;

  get(key: string): Tagged | undefined {
    const found = this.#kept.get(key);
    if (found !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, found);
    }
    return found;
  }

  set(key: string, tagged: Tagged): void {
    this.delete(key);
    this.#kept.set(key, tagged);
    this.#length += tagged.text.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#length <= LONGEST_TEXT) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#length -= this.#kept.get(key)?.text.length ?? 0;
    this.#kept.delete(key);
  }
}
