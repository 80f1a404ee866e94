const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}

export function layout(title: string, body: string): string {
  return `<!doctype html><title>${escape(title)}</title><main>${body}</main>`;
}
