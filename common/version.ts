/** The version of this program, as the package file states it: the one place where it is read. */
import packageFile from '../package.json' with { type: 'json' };

export const version: string = packageFile.version;
