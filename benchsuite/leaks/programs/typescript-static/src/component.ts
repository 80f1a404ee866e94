/** Whatever is on a page: has an identifier by which scripts of the page can ask for it. */
export abstract class Component {
  private static readonly mounted = new Map<string, Component>();
  private static counter = 0;

  readonly id: string;

  constructor(readonly tag: string) {
    Component.counter += 1;
    this.id = `${tag}-${Component.counter}`;
    Component.mounted.set(this.id, this);
  }

  static byId(id: string): Component | undefined {
    return Component.mounted.get(id);
  }

  abstract render(): string;
}
