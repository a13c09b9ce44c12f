-- KEYS: index, expiries, open segments, then the item or segment of each write.
-- ARGV: now, op, then each write: kind, name, condition and what the kind needs.
-- Reads and decides first; nothing below "apply" can be refused.

local index, expiries, open = KEYS[1], KEYS[2], KEYS[3]
local now, op = tonumber(ARGV[1]), ARGV[2]

local at = 2
local function take()
  at = at + 1
  return ARGV[at]
end

-- The first of the ops is the revision.
local function revision(ops)
  local stop = string.find(ops, '\0', 1, true)
  return stop and string.sub(ops, 1, stop - 1) or ops
end

local function remembered(ops)
  local all, stop = op .. '\0' .. (ops or ''), 0
  for _ = 1, REMEMBERED_OPS do
    stop = string.find(all, '\0', stop + 1, true)
    if not stop then return all end
  end
  return string.sub(all, 1, stop - 1)
end

local writes = {}
for i = 4, #KEYS do
  local w = { key = KEYS[i], kind = take(), name = take(), cond = take() }
  if w.kind == 'settle' then
    local g = redis.call('HMGET', w.key, 'n', 't', 'x')
    w.open, w.rev, w.touched = g[1] and not g[3], g[1] and g[1] .. '@' .. g[2], g[2]
  else
    local r = redis.call('HMGET', w.key, 'o', 'x', 'd', 'k')
    w.ops, w.expiry = r[1], r[2]
    w.live = w.ops and not r[3] and (not w.expiry or now < tonumber(w.expiry))
    w.counters = w.live and tonumber(r[4] or 0) or 0
    if w.kind ~= 'check' and w.ops and string.find('\0' .. w.ops .. '\0', '\0' .. op .. '\0', 1, true) then
      return { 'done' }
    end
  end
  if w.kind == 'put' then
    w.expires, w.value = take(), take()
  elseif w.kind == 'add' then
    w.expires, w.n = take(), tonumber(take())
    w.first = at + 1
    at = at + 4 * w.n
  end
  writes[#writes + 1] = w
end

local function holds(w)
  if w.kind == 'settle' then return w.open and w.rev == w.cond end
  if w.cond == '' then return true end
  if w.cond == 'absent' then return not w.live end
  return w.live and revision(w.ops) == string.sub(w.cond, 2)
end

for i, w in ipairs(writes) do
  if not holds(w) then return { 'conflict', i } end
  if w.kind == 'add' then
    local why
    why, w.made = refuse(w.key, w.counters, w.first, w.n)
    if why then return { why } end
  end
end

-- apply

-- Whatever this commit adds to the index, it clears more.
local gone = redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, #KEYS)
local indexed = #gone > 0
if indexed then
  redis.call('ZREM', index, unpack(gone))
  redis.call('ZREM', expiries, unpack(gone))
end

-- Gives an item its expiry, or none. It is remembered for a while after.
local function expire(w)
  if w.expires ~= '' then
    local forget = math.max(now, tonumber(w.expires)) + TOMBSTONE_LIFE
    redis.call('HSET', w.key, 'x', w.expires)
    redis.call('EXPIREAT', w.key, forget + SLACK)
    redis.call('ZADD', expiries, forget, w.name)
    indexed = true
  elseif w.expiry then
    redis.call('HDEL', w.key, 'x')
    redis.call('PERSIST', w.key)
    redis.call('ZREM', expiries, w.name)
    indexed = true
  end
end

-- Makes room for a new item where there is none that lives.
local function start(w)
  if w.live then return end
  if w.ops then redis.call('DEL', w.key) end
  redis.call('ZADD', index, 0, w.name)
  indexed = true
end

local apply = {}

function apply.put(w)
  start(w)
  redis.call('HSET', w.key, 'o', remembered(w.ops), 'v', w.value)
  expire(w)
end

function apply.add(w)
  start(w)
  add(w.key, w.first, w.n)
  redis.call('HSET', w.key, 'o', remembered(w.ops), 'k', w.counters + w.made)
  if w.expires ~= '' or not w.live then expire(w) end
end

function apply.delete(w)
  redis.call('DEL', w.key)
  redis.call('HSET', w.key, 'o', remembered(w.ops), 'd', 1)
  redis.call('EXPIREAT', w.key, now + TOMBSTONE_LIFE + SLACK)
  redis.call('ZREM', index, w.name)
  redis.call('ZREM', expiries, w.name)
  indexed = true
end

function apply.settle(w)
  local settled = { 'k' }
  for _, field in ipairs(redis.call('HKEYS', w.key)) do
    if string.byte(field) == 99 then settled[#settled + 1] = field end
  end
  redis.call('HDEL', w.key, unpack(settled))
  redis.call('ZREM', open, w.name)
  local expiry = tonumber(w.touched) + SEGMENT_LIFE
  redis.call('HSET', w.key, 'x', expiry)
  redis.call('EXPIREAT', w.key, expiry + SLACK)
end

function apply.check() end

for _, w in ipairs(writes) do apply[w.kind](w) end

-- An index that holds nothing but what expires may go with the last of it.
if indexed then
  local last = redis.call('ZREVRANGE', expiries, 0, 0, 'WITHSCORES')[2]
  local bounded = last and redis.call('ZCARD', index) == redis.call('ZCARD', expiries)
  for _, key in ipairs({ index, expiries }) do
    if bounded then
      redis.call('EXPIREAT', key, tonumber(last) + SLACK)
    else
      redis.call('PERSIST', key)
    end
  end
end

return { 'done' }
