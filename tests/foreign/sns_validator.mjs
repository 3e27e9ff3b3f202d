// Checks messages of Amazon SNS with the npm package sns-validator.
//
// usage: node sns_validator.mjs CERTIFICATE FILE
//
// FILE contains one JSON array of messages. The program prints one line for each message: `valid`, or the reason why the
// package refuses it. The package gets certificates over HTTPS; here it gets the content of the file CERTIFICATE.
import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../target/foreign/node_modules/', import.meta.url))
const certificate = readFileSync(process.argv[2], 'utf8')
require('https').get = (url, done) => {
  const response = new EventEmitter()
  response.statusCode = 200
  done(response)
  response.emit('data', Buffer.from(certificate))
  response.emit('end')
  return new EventEmitter()
}
const Validator = require('sns-validator')
const validator = new Validator()
for (const message of JSON.parse(readFileSync(process.argv[3], 'utf8'))) {
  validator.validate(message, (error) => console.log(error ? error.message : 'valid'))
}
