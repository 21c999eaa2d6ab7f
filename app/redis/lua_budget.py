"""Lua scripts of the budget: what Redis does atomically for the permits of the whole fleet, alone or with a lease."""

from typing import Final

from app.redis.lua import READ_OR_LEASE_FUNCTION, TOLERANT_CALL

_BUDGET: Final = """
local longest_pause = 3600000000
local function read(value, otherwise)
  local number = tonumber(value or otherwise)
  return number == number and number or otherwise
end
local function end_of_pause(now, quiet, pause)
  local ended, length = string.match(pause or '', '^(%d+):(%d+)$')
  length = math.min(ended == quiet and read(length, longest_pause) or longest_pause, longest_pause)
  return math.min(read(quiet, 0), now + length), length
end
"""
"""Defines `read(value, otherwise)`, which also replaces NaN, and `end_of_pause`: its end and length, in microseconds.

A `Retry-After` counts as an hour at most. So long is a pause of an earlier version at most, which has no length.
"""

_TAKE: Final = (
    _BUDGET
    + """
-- GCRA (ITU-T I.371). Returns how many permits are granted, the microseconds until the next one, and how many replicas were
-- counted within the last second, or 0 without a census: it takes as long as the rest. After a pause the interval is longer,
-- and returns to normal; then the fields of the pause are removed, and a permit is cheap again. `next` is lawfully ahead by
-- the longest interval and the tolerance, which is twice ours if we leave headroom.
local function take(budget, active, replica, interval, tolerance, wanted, census)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local asking = 0
  if census == '1' then
    call('ZADD', active, now, replica)
    redis.call('ZREMRANGEBYSCORE', active, '-inf', now - 1000000)
    redis.call('PEXPIRE', active, 2000)
    asking = redis.call('ZCOUNT', active, '-inf', now)
  end
  local due, paused_until, factor = unpack(call('HMGET', budget, 'next', 'quiet', 'factor'))
  local was_paused = paused_until or factor
  local slowest, slowdown = 1, 1
  if was_paused then
    local slowed, pause = unpack(redis.call('HMGET', budget, 'slowed', 'pause'))
    local quiet, length = end_of_pause(now, paused_until, pause)
    if quiet > now then
      if quiet < read(paused_until, 0) then
        local moment = string.format('%.0f', quiet)
        pause = moment .. ':' .. string.format('%.0f', length)
        redis.call('HSET', budget, 'quiet', moment, 'slowed', moment, 'pause', pause)
      end
      return 0, quiet - now, asking
    end
    local elapsed = math.max(0, now - read(slowed, now))
    slowest = math.max(1, math.min(64, read(factor, 1)))
    slowdown = math.max(1, slowest * 0.5 ^ (elapsed / 10000000))
  end
  due = math.max(read(due, 0), now)
  local last = now + tolerance
  local latest = last + tolerance + interval * slowest
  if due > latest then
    due = latest
    redis.call('HSET', budget, 'next', math.floor(due + 0.5))
  end
  local spacing = interval * slowdown
  local granted = math.min(tonumber(wanted), math.floor((last - due) / spacing) + 1)
  if granted <= 0 then
    return 0, math.ceil(due - last), asking
  end
  due = due + granted * spacing
  local is_new = redis.call('HSET', budget, 'next', math.floor(due + 0.5))
  if is_new == 1 or asking > 0 then
    redis.call('PEXPIRE', budget, 3600000)
  end
  if was_paused and slowdown == 1 then
    redis.call('HDEL', budget, 'quiet', 'slowed', 'factor', 'pause')
  end
  return granted, math.max(0, math.ceil(due - last)), asking
end
"""
)

TAKE_PERMITS: Final = (
    TOLERANT_CALL
    + _TAKE
    + """
-- KEYS: budget (a hash), active replicas (a sorted set). ARGV: replica id, interval and tolerance in microseconds,
-- permits wanted, 1 for a census. Returns what `take` returns.
return {take(KEYS[1], KEYS[2], unpack(ARGV, 1, 5))}
"""
)

PAUSE: Final = (
    TOLERANT_CALL
    + _BUDGET
    + """
-- KEYS: budget. ARGV: microseconds. Grants no permit for so long; after that the rate is halved for a while. `pause` holds
-- the end of the pause and its length, by which its end is cut if the clock goes back. Returns 1.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = call('HMGET', KEYS[1], 'quiet', 'slowed', 'factor', 'pause')
local before = end_of_pause(now, state[1], state[4])
local quiet = math.max(before, now + ARGV[1])
local moment = string.format('%.0f', quiet)
local pause = moment .. ':' .. string.format('%.0f', quiet - now)
redis.call('HSET', KEYS[1], 'quiet', moment, 'slowed', moment, 'pause', pause)
redis.call('PEXPIRE', KEYS[1], 3600000 + math.ceil((quiet - now) / 1000))
if before <= now then
  local elapsed = math.max(0, now - read(state[2], now))
  local factor = math.max(1, math.min(64, read(state[3], 1)) * 0.5 ^ (elapsed / 10000000))
  redis.call('HSET', KEYS[1], 'factor', math.min(factor * 2, 64))
end
return 1
"""
)

READ_OR_LEASE_WITH_PERMIT: Final = f"""
-- KEYS: those of READ_OR_LEASE, then of TAKE_PERMITS. ARGV: those of READ_OR_LEASE, then interval, tolerance, census.
-- Returns what READ_OR_LEASE returns and, if the lease is ours, what TAKE_PERMITS returns for one permit.
{READ_OR_LEASE_FUNCTION}
{_TAKE}
local held, lease = read_or_lease(KEYS[1], KEYS[2], unpack(ARGV, 1, 5))
if lease ~= 0 then
  return {{held, lease}}
end
return {{held, 0, take(KEYS[3], KEYS[4], ARGV[1], ARGV[6], ARGV[7], 1, ARGV[8])}}
"""
