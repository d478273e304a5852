/** The texts of a Debian package that say what it is. All are made from what is passed in: no clock, no machine. */
import type { Architecture } from '../payload/architectures.ts';
import { debianPackages, type DebianPackage, type PackageName } from './packages.ts';

export interface Identity {
  readonly name: PackageName;
  readonly version: string;
  readonly architecture: Architecture;
}

/** The team; whoever builds packages of their own puts themselves here. */
const maintainer = 'docker-volume-vmdk maintainers <maintainers@docker-volume-vmdk.invalid>';

/** @param installedKib of all that it installs */
export function controlFile({ name, version, architecture }: Identity, installedKib: number): string {
  const about: DebianPackage = debianPackages[name];
  const fields = {
    Package: name,
    Version: version,
    Architecture: architecture,
    Maintainer: maintainer,
    'Installed-Size': String(installedKib),
    Depends: about.dependencies.join(', '),
    Recommends: about.recommended.join(', '),
    Suggests: about.suggested.join(', '),
    Section: 'admin',
    Priority: 'optional',
    Description: [about.summary, ...about.description.split('\n')].join('\n '),
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== '');
  return lines.map(([key, value]) => `${key}: ${value}\n`).join('');
}

export function changelogFile({ name, version }: Identity, date: number): string {
  const day = new Date(date * 1000).toUTCString().replace('GMT', '+0000');
  return `${name} (${version}) stable; urgency=medium

  * What changed is told in CHANGELOG.md.

 -- ${maintainer}  ${day}
`;
}

export function copyrightFile(name: PackageName): string {
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: docker-volume-vmdk
Comment: /usr/lib/${name}/THIRD-PARTY-NOTICES has the licences of all that others
 wrote, with their names.

Files: *
Copyright: 2026 the docker-volume-vmdk maintainers
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.

Files: usr/lib/${name}/bin/node
 usr/lib/${name}/build/*.node
 usr/lib/${name}/dist/*
Copyright: 2009-2026 the Node.js contributors, and those of the packages bundled
License: Expat
 Permission is hereby granted, free of charge, to any person obtaining a copy
 of this software and associated documentation files (the "Software"), to deal
 in the Software without restriction, including without limitation the rights
 to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 copies of the Software, and to permit persons to whom the Software is
 furnished to do so, subject to the following conditions:
 .
 The above copyright notice and this permission notice shall be included in all
 copies or substantial portions of the Software.
 .
 THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 SOFTWARE.
`;
}
