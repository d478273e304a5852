/** The SCSI disks that a guest's kernel adds and removes, told by a small program of ours and by nothing of the product. */
import type { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';

export class DiskNews implements AsyncDisposable {
  readonly #program: GuestProgram;
  readonly #told = { add: 0, remove: 0 };

  private constructor(program: GuestProgram) {
    this.#program = program;
  }

  /** When it has resolved, none is missed. */
  static async listen(guest: Guest): Promise<DiskNews> {
    return new DiskNews(await GuestProgram.startOurs(guest, 'disk-news', 'listening'));
  }

  /** Resolves when so many more were told than those that were waited for before. */
  async until(action: 'add' | 'remove', count: number): Promise<void> {
    this.#told[action] += count;
    await this.#program.until(`${action} ${this.#told[action]} `);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
