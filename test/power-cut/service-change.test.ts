/**
 * Changing and removing volumes, and the sweep of a start, cut off from power at every moment, also while a VM that
 * survived holds the disk, and a second time while the start mends what the first cut left: what was answered is done,
 * what was not is done or undone, and nothing else changes.
 */
import test from 'ava';
import { cutEverywhere, cutTwice } from './service-power-cuts.ts';
import type { ScenarioName } from './service-scenarios.ts';

const names: readonly ScenarioName[] = [
  'detach that reports "formatted"',
  'remove',
  'remove and create of the same name',
  'a start with its sweep',
];
for (const name of names) test.serial(`power cut: ${name}`, cutEverywhere, name);

const mended: readonly ScenarioName[] = ['create of an eager-zeroed thick disk', 'clone to a thin disk', 'remove'];
for (const name of mended)
  test.serial(`power cut: ${name}, and again while the next start mends it`, cutTwice, name, 3);
