/** What a VIB says of itself, as VMware's public examples have it. Pure. */

export interface VibDescription {
  readonly version: string;
  /** In seconds. */
  readonly date: number;
  /** Relative to `/`. */
  readonly files: readonly string[];
  readonly payload: { readonly name: string; readonly sizeBytes: number; readonly sha256: string };
  /** Of the payload when unpacked to a plain tar. */
  readonly unpacked: { readonly sha256: string; readonly sha1: string };
}

export const vibName = 'docker-volume-vmdk-service';

export function vibDescriptor({ version, date, files, payload, unpacked }: VibDescription): string {
  const list = files.map((file) => `    <file>${escaped(file)}</file>`).join('\n');
  return `<vib version="5.0">
  <type>bootbank</type>
  <name>${vibName}</name>
  <version>${escaped(version)}-0</version>
  <vendor>docker-volume-vmdk</vendor>
  <summary>Service of the Docker volume driver vmdk</summary>
  <description>Attaches virtual disks to the virtual machines whose Docker uses the volume driver vmdk. Never run on hardware.</description>
  <release-date>${new Date(date * 1000).toISOString()}</release-date>
  <urls/>
  <relationships>
    <depends>
      <constraint name="esx-version" relation="&gt;=" version="7.0.0"/>
    </depends>
    <conflicts/>
    <replaces/>
    <provides/>
    <compatibleWith/>
  </relationships>
  <software-tags/>
  <system-requires>
    <maintenance-mode>false</maintenance-mode>
  </system-requires>
  <file-list>
${list}
  </file-list>
  <acceptance-level>community</acceptance-level>
  <live-install-allowed>true</live-install-allowed>
  <live-remove-allowed>true</live-remove-allowed>
  <cimom-restart>false</cimom-restart>
  <stateless-ready>false</stateless-ready>
  <overlay>false</overlay>
  <payloads>
    <payload name="${payload.name}" type="tgz" size="${payload.sizeBytes}">
      <checksum checksum-type="sha-256">${payload.sha256}</checksum>
      <checksum checksum-type="sha-256" verify-process="gunzip">${unpacked.sha256}</checksum>
      <checksum checksum-type="sha-1" verify-process="gunzip">${unpacked.sha1}</checksum>
    </payload>
  </payloads>
</vib>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
