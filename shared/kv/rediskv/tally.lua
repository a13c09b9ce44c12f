-- KEYS: open segments, the segment. ARGV: now, the segment's name, a digest of
-- the event's id, how many events the segment may hold, then the deltas.

local open, key = KEYS[1], KEYS[2]
local now, name, seen = tonumber(ARGV[1]), ARGV[2], 'e' .. ARGV[3]
local most, first, n = tonumber(ARGV[4]), 5, (#ARGV - 4) / 4

local g = redis.call('HMGET', key, 'n', 't', 'x', 'k', seen)
local expiry = g[3] and tonumber(g[3])
local forgotten = expiry and expiry <= now
if forgotten then g = {} end
local events, touched, counters = tonumber(g[1] or 0), tonumber(g[2] or 0), tonumber(g[4] or 0)

if g[5] then return { 'duplicate' } end
if events >= most then return { 'events' } end
local why, made = refuse(key, counters, first, n)
if why then return { why } end

if forgotten then
  redis.call('DEL', key)
elseif expiry then
  redis.call('HDEL', key, 'x')
  redis.call('PERSIST', key)
end
add(key, first, n)
redis.call('HSET', key, seen, '', 'n', events + 1, 't', math.max(touched, now), 'k', counters + made)
if expiry or events == 0 then redis.call('ZADD', open, 0, name) end
return { 'counted' }
