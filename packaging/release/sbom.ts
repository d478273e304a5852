/** The list of all components of a release, as CycloneDX 1.6 in JSON. Invariant: the same components give the same bytes. */
import { ComponentType } from '@cyclonedx/cyclonedx-library/Enums';
import {
  Bom,
  Component as BomComponent,
  LicenseExpression,
  LicenseRepository,
  NamedLicense,
} from '@cyclonedx/cyclonedx-library/Models';
import { JSON as Json, JsonSerializer } from '@cyclonedx/cyclonedx-library/Serialize';
import { Spec1dot6 } from '@cyclonedx/cyclonedx-library/Spec';
import { type Component, sorted } from '../others/component.ts';

export interface Product {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
}

export function sbomOf(product: Product, components: readonly Component[]): string {
  const bom = new Bom();
  const main = new BomComponent(ComponentType.Application, product.name, {
    version: product.version,
    bomRef: product.name,
    licenses: licencesOf(product.licence),
  });
  bom.metadata.component = main;
  for (const { name, version, licence, purl } of sorted(components)) {
    const part = new BomComponent(ComponentType.Library, name, {
      ...{ version, purl, bomRef: purl },
      licenses: licencesOf(licence),
    });
    bom.components.add(part);
    main.dependencies.add(part.bomRef);
  }
  const serializer = new JsonSerializer(new Json.Normalize.Factory(Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function licencesOf(licence: string | undefined): LicenseRepository {
  const told = licence === undefined ? new NamedLicense('see its copyright file') : new LicenseExpression(licence);
  return new LicenseRepository([told]);
}
