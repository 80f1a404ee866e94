'use strict';

const locales = ['en', 'de', 'fr', 'it', 'es', 'pt', 'nl', 'da', 'sv', 'fi', 'pl', 'cs', 'sl', 'hr', 'hu', 'ro', 'el', 'tr'];
const loaded = {};

function load(locale) {
  const messages = {};
  for (let i = 0; i < 200; i += 1) messages[`message.${i}`] = `${locale}: text number ${i}`;
  messages.hello = `hello (${locale})`;
  messages.goodbye = `goodbye (${locale})`;
  const numbers = new Intl.NumberFormat(locale);
  const dates = new Intl.DateTimeFormat(locale, { dateStyle: 'long' });
  return { messages, numbers, dates };
}

function translate(locale, key) {
  if (!locales.includes(locale)) return key;
  loaded[locale] ??= load(locale);
  return loaded[locale].messages[key] ?? key;
}

module.exports = { locales, translate };
