class Tenant {
  constructor(name) {
    this.name = name;
    this.host = `${name}.example.org`;
    this.documents = Array.from({ length: 30 }, (_, i) => ({ id: `${name}-${i}`, title: `Document ${i}` }));
  }
}

export class Tenants {
  #byHost = new Map();

  constructor(names) {
    for (const name of names) {
      const tenant = new Tenant(name);
      this.#byHost.set(tenant.host, tenant);
    }
  }

  of(host) {
    return this.#byHost.get(host?.split(':')[0]);
  }

  byName(name) {
    return this.#byHost.get(`${name}.example.org`);
  }
}
