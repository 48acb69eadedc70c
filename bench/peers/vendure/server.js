// A Vendure shop as its documentation sets it up, on the database that PGHOST and PGDATABASE name.
import { bootstrap, DefaultLogger, dummyPaymentHandler, LogLevel } from '@vendure/core';

await bootstrap({
  apiOptions: { port: Number(process.env.PORT), hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: {
    tokenMethod: 'bearer',
    superadminCredentials: { identifier: 'superadmin', password: process.env.KEY },
    cookieOptions: { secret: process.env.KEY },
  },
  dbConnectionOptions: {
    type: 'postgres', host: process.env.PGHOST, port: Number(process.env.PGPORT ?? 5432), username: 'postgres',
    database: process.env.PGDATABASE, synchronize: true, extra: { max: 16 },
  },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  logger: new DefaultLogger({ level: LogLevel.Error }),
  plugins: [],
});
