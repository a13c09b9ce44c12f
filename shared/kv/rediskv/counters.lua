-- Counters of a hash: field 'c' and the counter's name, a decimal int64. A Lua
-- number is a double, so only HINCRBY adds, and here they are compared as text.
-- Field 'k' says how many there are.

local function below(a, b)
  local minus = string.byte(a) == 45
  if minus ~= (string.byte(b) == 45) then return minus end
  if #a ~= #b then return (#a < #b) ~= minus end
  return a ~= b and (a < b) ~= minus
end

-- A delta is four arguments: counter, amount, and the lowest and the highest
-- value it may be added to ('' is any). Says why the n deltas from ARGV[first]
-- on may not be added to a hash with so many counters, or else how many counters
-- they make.
local function refuse(key, counters, first, n)
  local fields, values, made = {}, {}, 0
  for i = 1, n do fields[i] = 'c' .. ARGV[first + 4 * i - 4] end
  if counters > 0 then values = redis.call('HMGET', key, unpack(fields)) end
  for i = 1, n do
    local was, lowest, highest = values[i], ARGV[first + 4 * i - 2], ARGV[first + 4 * i - 1]
    if not was then
      was, made = '0', made + 1
    end
    if lowest ~= '' and below(was, lowest) or highest ~= '' and below(highest, was) then return 'range' end
  end
  if counters + made > MAX_COUNTERS then return 'counters' end
  return nil, made
end

local function add(key, first, n)
  for i = 1, n do redis.call('HINCRBY', key, 'c' .. ARGV[first + 4 * i - 4], ARGV[first + 4 * i - 3]) end
end
