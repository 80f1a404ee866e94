'use strict';

const { Router } = require('express');
const log = require('../lib/log');

const router = Router();
const products = Array.from({ length: 40 }, (_, i) => ({ id: i + 1, name: `Teapot no. ${i + 1}`, cents: 900 + i * 35 }));

router.get('/', (req, res) => {
  req.session.views = (req.session.views || 0) + 1;
  const list = products.slice(0, 10).map((p) => `<li><a href="/product/${p.id}">${p.name}</a></li>`);
  res.send(`<h1>Teapots</h1><p>visit ${req.session.views}</p><ul>${list.join('')}</ul>`);
});

router.get('/product/:id', (req, res) => {
  const product = products.find((p) => p.id === Number(req.params.id));
  if (!product) return res.status(404).send('no such teapot');
  req.session.seen = [product.id, ...(req.session.seen || [])].slice(0, 5);
  res.json(product);
});

router.post('/basket', (req, res) => {
  req.session.basket = [...(req.session.basket || []), Number(req.body.product)].slice(-20);
  res.redirect('/');
});

router.get('/status', (req, res) => res.json(log.counts));

module.exports = router;
