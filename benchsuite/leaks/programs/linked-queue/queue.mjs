class Item {
  constructor(value) {
    this.value = value;
    this.next = null;
  }
}

/** First in, first out, without moving what is in it. */
export class Queue {
  constructor() {
    this.head = null;
    this.tail = null;
    this.length = 0;
  }

  push(value) {
    const item = new Item(value);
    if (this.tail) this.tail.next = item;
    else this.head = item;
    this.tail = item;
    this.length += 1;
  }

  first() {
    return this.head?.value;
  }

  shift() {
    const item = this.head;
    if (!item) return undefined;
    this.head = item.next;
    if (!this.head) this.tail = null;
    this.length -= 1;
    return item.value;
  }
}
