/** What the compiler cannot see. Formatting is Prettier's, folder layers are dependency-cruiser's, unused code is knip's. */
import js from '@eslint/js';
import ava from 'eslint-plugin-ava';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist/', 'build/', 'coverage/', 'native/libvmci/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreUsingDeclarations: true, ignoreRestSiblings: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // winston's declarations describe its transports by interfaces, of which no value is a class instance.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      'max-lines': ['error', 300],
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx'], location: 'start' }],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'node:timers/promises', message: 'Wait for an event, or pause(ms, signal) of common/deadline.ts.' },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    extends: [ava.configs.recommended[0]],
    rules: {
      'ava/no-todo-test': 'error',
      'ava/no-commented-tests': 'error',
      // Contract suites and property tests assert inside functions that the rule does not follow.
      'ava/require-assertion': 'off',
      'ava/no-conditional-assertion': 'off',
    },
  },
  // Not in everybody's run: see ava.config.js.
  {
    files: ['test/guest/nested/nested.test.ts', 'test/packaging/{arm64,esx,image,registry}.test.ts'],
    rules: { 'ava/no-ignored-test-files': 'off' },
  },
);
