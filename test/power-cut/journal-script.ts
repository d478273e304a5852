/**
 * Keeps a reference log in a folder: `journal-script.ts FOLDER BOOT_ID`. To be run under the recorder. Each mark says that
 * one more change was answered; the changes are those of `journalChanges`.
 */
import { rmdirSync } from 'node:fs';
import process from 'node:process';
import { silentLogger } from '../../common/logging.ts';
import { FileReferenceLog } from '../../plugin/adapters/reference-log.ts';
import { compactAtLines, journalChanges, restartAfter } from './journal-changes.ts';

const [folder = '', bootId = ''] = process.argv.slice(2);
const open = (): Promise<FileReferenceLog> =>
  FileReferenceLog.open({ folder, bootId, logger: silentLogger, compactAtLines });
const mark = (): void => rmdirSync('/power-cut-mark/answered');

mark();
let log = await open();
mark();
for (const [index, change] of journalChanges.entries()) {
  if (index === restartAfter) {
    log.close();
    log = await open();
  }
  log.append(change);
  mark();
}
log.close();
