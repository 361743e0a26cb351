// Prisma 6 has its schema engine in the package itself (`engine: 'js'`). Prisma 7 downloads a program instead.
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { defineConfig } from 'prisma-6/config'

const CHAR = 18, NAME = 19, TEXT = 25 // oids of pg_type
const LONG = 10_000 // milliseconds

/** Gives catalog columns as texts: the adapter knows no type "char", which the engine asks the catalog for. */
class Pool extends pg.Pool {
  async query(...args) {
    const result = await super.query(...args)
    for (const field of result.fields) if ([CHAR, NAME].includes(field.dataTypeID)) field.dataTypeID = TEXT
    return result
  }
}

// The engine leaves its time limits behind, and a command that has ended would wait for them for a minute.
const { setTimeout } = globalThis
globalThis.setTimeout = (act, milliseconds, ...args) => {
  const timer = setTimeout(act, milliseconds, ...args)
  return milliseconds < LONG ? timer : timer.unref()
}

export default defineConfig({
  schema: `${process.env.APPLICATION}/schema.prisma`,
  migrations: { path: `${process.env.APPLICATION}/migrations` },
  engine: 'js',
  experimental: { adapter: true },
  adapter: async () => new PrismaPg(new Pool({ connectionString: process.env.DATABASE_URL, allowExitOnIdle: true })),
})
