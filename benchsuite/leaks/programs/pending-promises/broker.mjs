/** Stands for a message broker within one process. */
export class Broker {
  #consumers = new Map();

  consume(queue, handler) {
    this.#consumers.set(queue, handler);
  }

  publish(queue, message) {
    const handler = this.#consumers.get(queue);
    if (!handler) throw new Error(`nobody consumes ${queue}`);
    setImmediate(handler, message);
  }
}
