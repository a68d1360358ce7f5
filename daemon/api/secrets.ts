/** Covers secrets in everything that leaves the API: by where they stand in a URL or a parameter, and by their value. */
import { coverSecrets } from "../cli/terminal.ts";

/** A shorter value would be found in the middle of words; in a URL it is covered by its place. */
const SECRET_LENGTH_MIN = 6;
const DEPTH_MAX = 64;
const COVER = "***";

/** Members whose text is a secret whatever it looks like. A mapper's salt and key come hashed, and go all the same. */
const secretMembers = new Set([
  "password",
  "salt",
  "key64",
  "secretAccessKey",
  "sessionToken",
  "token",
  "authorization",
]);

export class SecretCover {
  readonly #list: () => readonly string[];
  #known: readonly string[] = [];
  #spellings: readonly string[] = [];

  /** @param list the values that are known to be secret; asked at each use, since a reload may change them */
  constructor(list: () => readonly string[]) {
    this.#list = list;
  }

  coverText(text: string): string {
    let covered = coverSecrets(text);
    for (const secret of this.#listSpellings())
      if (covered.includes(secret)) covered = covered.replaceAll(secret, COVER);
    return covered;
  }

  /** A copy of a JSON value. Deeper than DEPTH_MAX is cut off: nothing of ours is. */
  coverValue(value: unknown, depth = 0): unknown {
    if (typeof value === "string") return this.coverText(value);
    if (typeof value !== "object" || value === null) return value;
    if (depth > DEPTH_MAX) return null;
    if (Array.isArray(value))
      return value.map((item) => this.coverValue(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        secretMembers.has(name) && typeof member === "string"
          ? COVER
          : this.coverValue(member, depth + 1),
      ]),
    );
  }

  #listSpellings(): readonly string[] {
    const known = this.#list();
    if (known === this.#known) return this.#spellings;
    this.#known = known;
    const spellings = known
      .filter(({ length }) => length >= SECRET_LENGTH_MIN)
      .flatMap((secret) => [
        secret,
        encodeURIComponent(secret),
        JSON.stringify(secret).slice(1, -1),
      ]);
    // the longest first: one secret may begin as another
    this.#spellings = [...new Set(spellings)].toSorted(
      (a, b) => b.length - a.length,
    );
    return this.#spellings;
  }
}
