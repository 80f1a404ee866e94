export class Order {
  static table = 'orders';

  constructor(customer) {
    this.id = undefined;
    this.customer = customer;
    this.placed = new Date();
    this.lines = [];
  }

  add(line) {
    line.order = this;
    this.lines.push(line);
  }

  get total() {
    return this.lines.reduce((sum, line) => sum + line.quantity * line.cents, 0);
  }
}

export class OrderLine {
  static table = 'order_lines';

  constructor(product, quantity, cents) {
    this.product = product;
    this.quantity = quantity;
    this.cents = cents;
    this.order = undefined;
  }
}
