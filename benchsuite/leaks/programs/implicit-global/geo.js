const ranges = [
  { prefix: '10.', country: 'DE', language: 'de' },
  { prefix: '172.', country: 'AT', language: 'de' },
  { prefix: '127.', country: 'GB', language: 'en' },
];

exports.geo = function geo(address) {
  const range = ranges.find(({ prefix }) => address.startsWith(prefix)) || ranges[2];
  return { country: range.country, language: range.language };
};
