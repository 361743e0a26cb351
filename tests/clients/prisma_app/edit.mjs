// Makes the edits of edits.py, one per line of JSON, and answers each with a line.
import { createInterface } from 'node:readline'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/index.js'

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })

class Unwanted extends Error {}

const acts = {
  create: (codes, values) => prisma.region.createMany({ data: codes.map((code) => ({ code, ...values })) }),
  update: ([code], values) => prisma.region.update({ where: { code }, data: values }),
  update_many: (codes, values) => prisma.region.updateMany({ where: { code: { in: codes } }, data: values }),
  upsert: ([code], values) => prisma.region.upsert({ where: { code }, create: { code, ...values }, update: values }),
  delete: (codes) => prisma.region.deleteMany({ where: { code: { in: codes } } }),
  roll_back: (codes, values) =>
    prisma
      .$transaction(async (transaction) => {
        await transaction.region.updateMany({ where: { code: { in: codes } }, data: values })
        throw new Unwanted()
      })
      .catch((error) => {
        if (!(error instanceof Unwanted)) throw error
      }),
}

for await (const line of createInterface({ input: process.stdin })) {
  const { act, codes, values } = JSON.parse(line)
  const error = await acts[act](codes, values).then(() => null, String)
  console.log(JSON.stringify({ error }))
}
await prisma.$disconnect()
