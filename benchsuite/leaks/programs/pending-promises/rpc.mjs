/** Questions over a message broker: each carries an identifier that its answer has again. */
export class RpcClient {
  #broker;
  #replyTo;
  #pending = new Map();
  #next = 1;

  constructor(broker, replyTo) {
    this.#broker = broker;
    this.#replyTo = replyTo;
    broker.consume(replyTo, (message) => this.#answered(message));
  }

  call(queue, payload) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { queue, resolve, reject });
      this.#broker.publish(queue, { ...payload, id, replyTo: this.#replyTo });
    });
  }

  #answered({ id, ...result }) {
    const call = this.#pending.get(id);
    if (!call) return;
    this.#pending.delete(id);
    call.resolve(result);
  }
}
