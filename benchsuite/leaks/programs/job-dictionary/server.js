'use strict';

const express = require('express');
const jobs = require('./jobs');

const app = express();
app.use(express.json({ limit: '64kb' }));

app.post('/thumbnails', (req, res) => {
  const job = jobs.submit('thumbnail', { source: req.body?.source ?? 'default.png', width: 320, height: 200 });
  res.status(202).location(`/jobs/${job.id}`).json({ id: job.id, state: job.state });
});

app.get('/thumbnails/sample', (req, res) => {
  const job = jobs.submit('thumbnail', { source: 'sample.png', width: 64, height: 64 });
  res.status(202).json({ id: job.id });
});

app.get('/jobs/:id', (req, res) => {
  const job = jobs.find(req.params.id);
  if (!job) {
    res.sendStatus(404);
    return;
  }
  res.json(job);
});

app.get('/queue', (req, res) => res.json({ waiting: jobs.waiting() }));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
