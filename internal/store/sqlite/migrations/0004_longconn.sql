-- Whose long connections are an endpoint's own, such as Alipay's app_id. A connection is found by it and its profile.
ALTER TABLE endpoints ADD COLUMN account TEXT;
CREATE UNIQUE INDEX endpoints_account ON endpoints (account, profile) WHERE account IS NOT NULL;
