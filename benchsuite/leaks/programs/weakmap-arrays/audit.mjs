import { randomUUID } from 'node:crypto';

// Goes away together with the tenant.
const trails = new WeakMap();

export function audit(tenant, action, details) {
  let trail = trails.get(tenant);
  if (!trail) {
    trail = [];
    trails.set(tenant, trail);
  }
  trail.push({ id: randomUUID(), at: new Date(), action, details });
}

export function auditTrail(tenant, count) {
  return trails.get(tenant)?.slice(-count) ?? [];
}
