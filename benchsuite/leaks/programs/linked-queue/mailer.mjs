import { Queue } from './queue.mjs';

export class Mailer {
  constructor({ host }) {
    this.host = host;
    this.outbox = new Queue();
    this.healthy = true;
    this.draining = false;
  }

  send(message) {
    this.outbox.push({ ...message, queued: new Date() });
    if (!this.draining && this.healthy) this.drain();
  }

  async drain() {
    this.draining = true;
    try {
      while (this.outbox.length > 0) {
        await this.transmit(this.outbox.first());
        this.outbox.shift();
      }
    } catch (error) {
      this.healthy = false;
      console.error(`mail: ${error.message}`);
    } finally {
      this.draining = false;
    }
  }

  async transmit(message) {
    if (!this.host) throw new Error(`no server to send to ${message.to}`);
  }
}
