DROP TABLE carrier_events;
