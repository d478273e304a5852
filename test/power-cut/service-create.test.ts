/**
 * Creating volumes, cut off from its power at every moment: a volume is there whole or not at all, one whose create was
 * answered is there, and another volume, or the source of a clone, is untouched.
 */
import test from 'ava';
import { cutEverywhere } from './service-power-cuts.ts';
import type { ScenarioName } from './service-scenarios.ts';

const names: readonly ScenarioName[] = [
  'the first start and create',
  'the first start and create below folders that are missing',
  'create of a thin disk',
  'create of a thick disk',
  'create of an eager-zeroed thick disk',
  'a create that is given up',
  'clone to a thin disk',
  'clone that shares blocks',
  'clone to an eager-zeroed thick disk',
];
for (const name of names) test.serial(`power cut: ${name}`, cutEverywhere, name);
