"""Lua scripts of what replicas share besides entries and permits: one value, jobs, demand. Each runs atomically."""

from typing import Final

from app.redis.lua import AS_OF, TOLERANT_CALL

SHARED_GET: Final = (
    TOLERANT_CALL
    + """
-- KEYS: value, lease. ARGV: replica id, lease time, the unwanted value (empty for none), the longest failure.
-- Returns 'kept', the value and its time to live. Without an acceptable value: 'ours' if the lease is ours now,
-- 'elsewhere' if it is another's, or 'failed' and why no replica may create a value now.
local held = call('GET', KEYS[1])
if held and held ~= ARGV[3] then
  return {'kept', held, redis.call('PTTL', KEYS[1])}
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {'ours', '', 0}
end
local holder = call('GET', KEYS[2])
local failed = string.sub(holder, 1, 1) == '{'
local longest = tonumber(failed and ARGV[4] or ARGV[2])
local left = redis.call('PTTL', KEYS[2])
if left < 0 or left > longest then
  redis.call('PEXPIRE', KEYS[2], longest)
end
if failed then
  return {'failed', holder, 0}
end
return {'elsewhere', '', 0}
"""
)

SHARED_SET: Final = """
-- KEYS: value, lease. ARGV: replica id, the value, its time to live, for how long no replica may create another, and why.
-- Stores the value if the lease is still ours. Returns 1 if it is.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[4]) > 0 then
  redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[4])
else
  redis.call('DEL', KEYS[2])
end
return 1
"""

SHARED_FAIL: Final = """
-- KEYS: lease. ARGV: replica id, why there is no value, for how long that holds for all. Replaces the lease if it is ours.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
"""

START_JOB: Final = (
    TOLERANT_CALL
    + """
-- KEYS: lease, job, when the last job began. ARGV: job's id, lease time, record, the record's time to live, now, the time
-- by which the last job must have begun. Returns the leaseholder's id (ours: the job is started), or '' if it is too early.
-- How long ago that was is read from the time to live, by the clock of Redis; by ours if that one was set back meanwhile.
local running = call('GET', KEYS[1])
if running then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return running
end
local began = tonumber(call('GET', KEYS[3]) or '')
if began then
  local age = tonumber(ARGV[4]) - redis.call('PTTL', KEYS[3])
  local recent = began > tonumber(ARGV[6])
  if age >= 0 and age <= tonumber(ARGV[4]) then
    recent = age < ARGV[5] - ARGV[6]
  end
  if recent then
    return ''
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[4])
return ARGV[1]
"""
)

UPDATE_JOB: Final = """
-- KEYS: lease, job, the last result. ARGV: job's id, lease time, record, the record's time to live, whether it is over,
-- whether that is a result. Writes the record; renews or releases the lease. Returns 1 if the lease is still the job's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
if ARGV[6] == '1' then
  redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
end
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""

RENEW_DEMAND: Final = (
    TOLERANT_CALL
    + """
-- KEYS: demand, lease, share. ARGV: owner, lease time (0: leave it to others), how long there is demand from now on (0: nothing new),
-- the share of the rate that the owner gets (empty: not known). Keeps the demand, and renews the lease, or takes it where it is
-- free, while there is demand. Gives how long there is demand, 1 if the lease is ours, and the share that its holder gets, or ''.
local wanted = tonumber(ARGV[3])
if wanted > redis.call('PTTL', KEYS[1]) and wanted > 0 then
  redis.call('SET', KEYS[1], '1', 'PX', wanted)
end
local left = math.max(redis.call('PTTL', KEYS[1]), 0)
local holder = call('GET', KEYS[2])
local unwanted = left == 0 or ARGV[2] == '0'
if unwanted and holder == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
if unwanted or (holder and holder ~= ARGV[1]) then
  return {left, 0, call('GET', KEYS[3]) or ''}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[3], ARGV[4], 'PX', math.floor(tonumber(ARGV[2]) * 10))
end
return {left, 1, call('GET', KEYS[3]) or ''}
"""
)

RELEASE_LEASE: Final = """
-- KEYS: lease. ARGV: owner. Gives the lease back if it is ours.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
"""

MARK_MOVED: Final = (
    TOLERANT_CALL
    + f"""
-- KEYS: entry. ARGV: replica id, account, when it moved, the latest plausible `asOf`, the channel. Marks the entry as from
-- before the move, and publishes that. Returns when it moved: no earlier than the entry, whatever the clocks say.
local moved = tonumber(ARGV[3])
local held = call('GET', KEYS[1])
local known = held and tonumber({AS_OF})
if known and known <= tonumber(ARGV[4]) then
  moved = math.max(moved, known)
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 and not string.find(held, ',"movedAt":', 1, true) then
    local entry = string.sub(held, 1, -2) .. ',"movedAt":' .. string.format('%.0f', moved) .. '}}'
    redis.call('SET', KEYS[1], entry, 'PX', left)
  end
end
publish(ARGV[5], '{{"sender":"' .. ARGV[1] .. '","moved":{{"key":"' .. ARGV[2] .. '","at":' .. string.format('%.0f', moved) .. '}}}}')
return moved
"""
)
