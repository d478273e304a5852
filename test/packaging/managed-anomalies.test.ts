/** The histories of test/docker/anomalies.test.ts, with the plugin that dockerd runs itself. */
process.env['TEST_PLUGIN_FORM'] = 'managed';
await import('../docker/anomalies.test.ts');
