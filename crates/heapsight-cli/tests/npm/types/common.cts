// The types as CommonJS modules see them.
import heapProfile = require('heap-profile');
import heapsight = require('heapsight');

heapProfile.start();
heapProfile.write((error: Error | null, name?: string) => void [error, name]);
heapsight.startSampling({ interval: 4096 }).then(async () => {
  const { file }: { file: string } = await heapsight.writeSampling();
  const { profile } = await heapsight.stopSampling(file);
  const bytes: number = profile.samples.reduce((sum, { size }) => sum + size, profile.head.selfSize);
  throw new heapsight.HeapsightError('EXAMPLE', String(bytes));
});
