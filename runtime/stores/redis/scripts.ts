/**
 * What the Redis store has the server do in one step: its Lua scripts, and under which name the server knows them.
 *
 * Owns what is checked and written, and in which order. The arguments are put together in `request.ts`.
 *
 * Invariants:
 * - RX1 A script's first write of a commit is one that a full, read-only or non-persisting server refuses (HSET), so that
 *   such a refusal comes before anything of the call is written.
 */
import { createHash } from 'node:crypto';

export interface Script {
  readonly text: string;
  readonly sha: string;
}

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

/** Lua passes at most some 8,000 values to a function; even, so that names and values stay together. */
const valuesMax = 4_000;

/**
 * `raise` answers a partition's next epoch: the server's clock carries it beyond whatever a rolled-back server has forgotten.
 * `claimed` answers by which epoch it was claimed: whatever raised it to another than was noted was a claim.
 */
const nextEpoch = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function raise(key, least)
  local epoch = math.max(tonumber(redis.call('HGET', key, 'e') or 0) + 1, now, least)
  redis.call('HSET', key, 'e', string.format('%.0f', epoch))
  return string.format('%.0f', epoch)
end
local function claimed(held, noted, raised)
  return held and (raised == held and noted or held) or '0'
end
`;

/**
 * Writes commits, partition by partition.
 *
 * Keys, for each partition: its ownership, its wakes, its addresses; then for each commit the entity, and if it has more
 * than one HSET takes, the entity's lazy records and their names. Arguments: number of partitions; for each its epoch, the
 * least that its counter may be, where the address starts in an entity's key, the number of commits; then for each commit
 *   expected version (8 bytes), flags (1), number of the next arguments (3)
 *   arguments for HSET: '', head, name, record, ...
 *   flag 1: the time of waking. Flag 2: none any more
 *   flag 4: three numbers of 32 bits, and as many: names to remove; lazy names and records; lazy names to remove
 *   flag 8: it leaves a tombstone, of which the stored version is negative. Flag 16: it leaves nothing
 * Answers what became of each commit, one digit each, or '' if all were written; then for each partition its counter, or
 * its epoch and counter (a string) if the epoch is not the one given, or -1 less the counter if that went back (P8).
 */
export const commitScript = script(`
local keys, given, call, sub, byte = KEYS, ARGV, redis.call, string.sub, string.byte
local char = string.char
local never = string.rep('\\0', 8)
local outcomes, count, all, answer, k, a = {}, 0, true, {''}, 1, 2

local function each(command, key, from, to)
  for first = from, to, ${valuesMax} do
    call(command, key, unpack(given, first, math.min(first + ${valuesMax - 1}, to)))
  end
end

local function writeMore(key, lazy, names, from, removed, put, lazyRemoved)
  local at = from
  if removed > 0 then each('HDEL', key, at, at + removed - 1) end
  at = at + removed
  for _ = 1, put do
    if call('HSET', lazy, given[at], given[at + 1]) == 1 then call('ZADD', names, 0, given[at]) end
    at = at + 2
  end
  for i = at, at + lazyRemoved - 1 do
    if call('HDEL', lazy, given[i]) == 1 then call('ZREM', names, given[i]) end
  end
end

for p = 1, tonumber(given[1]) do
  local ownership, wakes, addresses = keys[k], keys[k + 1], keys[k + 2]
  local held = call('HMGET', ownership, 'e', 'c')
  local counter, start = tonumber(held[2] or 0), tonumber(given[a + 2])
  local verdict
  if (held[1] or '0') ~= given[a] then
    verdict = '1'
    answer[p + 1] = (held[1] or '0') .. ' ' .. string.format('%.0f', counter)
  elseif counter < tonumber(given[a + 1]) then
    verdict = '1'
    answer[p + 1] = -1 - counter
  end
  local accepted, commits = 0, tonumber(given[a + 3])
  k, a = k + 3, a + 4
  for _ = 1, commits do
    local key, about = keys[k], given[a]
    local flags, high, middle, low = byte(about, 9, 12)
    local first = a + 1
    local last = a + high * 65536 + middle * 256 + low
    k, a = k + 1, last + 1
    local wake, wakeAt = flags % 4, nil
    if wake == 1 then wakeAt = given[a]; a = a + 1 end
    local removed, put, lazyRemoved, more, lazy, names = 0, 0, 0, nil, nil, nil
    local leaves = flags - flags % 8
    if flags % 8 >= 4 then
      removed, put, lazyRemoved = struct.unpack('>I4I4I4', given[a])
      more, lazy, names = a + 1, keys[k], keys[k + 1]
      k, a = k + 2, more + removed + 2 * put + lazyRemoved
    end
    local outcome = verdict
    if not outcome then
      local expected, present = sub(about, 1, 8), call('HGET', key, '')
      local version, listed = present and sub(present, 1, 8) or never, present and true or false
      if listed and byte(version) >= 128 then
        version, listed = char(byte(version) - 128) .. sub(version, 2), false
      end
      if version ~= expected then
        outcome = '2'
      else
        outcome = '0'
        accepted = accepted + 1
        if last - first < ${valuesMax} then call('HSET', key, unpack(given, first, last)) else each('HSET', key, first, last) end
        if listed ~= (leaves == 0) then
          if listed then call('ZREM', addresses, sub(key, start)) else call('ZADD', addresses, 0, sub(key, start)) end
        end
        if wake == 1 then
          call('ZADD', wakes, wakeAt, sub(key, start))
        elseif wake == 2 then
          call('ZREM', wakes, sub(key, start))
        end
        if leaves == 16 then
          call('DEL', key, lazy, names)
        elseif more then
          writeMore(key, lazy, names, more, removed, put, lazyRemoved)
        end
      end
    end
    count = count + 1
    outcomes[count] = outcome
    if outcome ~= '0' then all = false end
  end
  if not verdict then
    answer[p + 1] = accepted > 0 and call('HINCRBY', ownership, 'c', accepted) or counter
  end
end
if not all then answer[1] = table.concat(outcomes) end
return answer
`);

/** Keys, for each partition: its ownership and the pins of its home. Arguments: the owner; for each the least epoch. */
export const claimScript = script(`${nextEpoch}
local claims = {}
for i = 1, #KEYS, 2 do
  local held = redis.call('HMGET', KEYS[i], 'o', 'c', 'e', 'k', 'r')
  local epoch = raise(KEYS[i], tonumber(ARGV[1 + (i + 1) / 2]))
  redis.call('HSET', KEYS[i], 'o', ARGV[1])
  local last = claimed(held[3], held[4], held[5])
  local pins = redis.call('HGETALL', KEYS[i + 1])
  claims[#claims + 1] = { epoch, held[3] or '0', last, held[1] or '', held[2] or '0', pins }
end
return claims
`);

/** Keys: the pins, then each ownership to raise. Arguments: the address, and the worker or nothing. */
export const pinScript = script(`${nextEpoch}
if ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
for i = 2, #KEYS do
  local held = redis.call('HMGET', KEYS[i], 'e', 'k', 'r')
  redis.call('HSET', KEYS[i], 'k', claimed(held[1], held[2], held[3]), 'r', raise(KEYS[i], 0))
end
`);

/** The rule of `stores/lease.ts`, where the record is. Arguments: holder, now, ms, and the term and end of the one that may be replaced (or -1). */
export const leaseScript = script(`
local held = redis.call('HMGET', KEYS[1], 'h', 't', 'u')
local holder, term, over = held[1] or '', tonumber(held[2] or 0), tonumber(held[3] or 0)
local now, ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local mine = holder == ARGV[1]
if ms <= 0 then
  if mine then
    holder = ''
    over = 0
    redis.call('HSET', KEYS[1], 'h', '', 't', term, 'u', '0')
  end
elseif mine or holder == '' or over <= now or (term == tonumber(ARGV[4]) and over == tonumber(ARGV[5])) then
  if not mine then term = term + 1 end
  holder = ARGV[1]
  over = now + ms
  redis.call('HSET', KEYS[1], 'h', holder, 't', string.format('%.0f', term), 'u', string.format('%.17g', over))
end
return { holder, term, string.format('%.17g', over) }
`);

/** Keys: entity, lazy records, their names. Arguments: from, to, limit, and '1' if the eager records are asked for too. */
export const scanScript = script(`
local names = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local records = {}
for first = 1, #names, ${valuesMax} do
  local part = redis.call('HMGET', KEYS[2], unpack(names, first, math.min(first + ${valuesMax - 1}, #names)))
  for i = 1, #part do records[first + i - 1] = part[i] end
end
return { names, records, ARGV[4] == '1' and redis.call('HGETALL', KEYS[1]) or {} }
`);

/**
 * Loads entities, and the first of their lazy records with them. Keys, for each: its own, its lazy records, their names.
 * Arguments: both ends of the names, and how many of them.
 */
export const loadScript = script(`
local loaded = {}
for i = 1, #KEYS, 3 do
  local fields, names, records = redis.call('HGETALL', KEYS[i]), {}, {}
  if #fields > 0 then names = redis.call('ZRANGEBYLEX', KEYS[i + 2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3]) end
  for first = 1, #names, ${valuesMax} do
    local part = redis.call('HMGET', KEYS[i + 1], unpack(names, first, math.min(first + ${valuesMax - 1}, #names)))
    for at = 1, #part do records[first + at - 1] = part[at] end
  end
  loaded[#loaded + 1] = { fields, names, records }
end
return loaded
`);

/** Arguments: limit, and the wake after which to start: its time and its address. Halves what has the same time. */
export const wakesScript = script(`
local first, limit = 0, tonumber(ARGV[1])
if ARGV[2] then
  local past = redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[2])
  first = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2])
  while first < past do
    local middle = math.floor((first + past) / 2)
    if redis.call('ZRANGE', KEYS[1], middle, middle)[1] <= ARGV[3] then first = middle + 1 else past = middle end
  end
end
return redis.call('ZRANGE', KEYS[1], first, first + limit - 1, 'WITHSCORES')
`);

/** Tries every command that a script of this store uses, on a key that is gone afterwards; answers what was refused. */
export const probeScript = script(`
local key, missing = KEYS[1], {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == 'table' and reply.err then missing[#missing + 1] = name .. ' (' .. reply.err .. ')' end
end
try('TIME')
try('HSET', key, 'f', '1')
try('HGET', key, 'f')
try('HMGET', key, 'f')
try('HGETALL', key)
try('HINCRBY', key, 'f', 1)
try('HDEL', key, 'f')
try('DEL', key)
try('ZADD', key, 0, 'm')
try('ZRANGE', key, 0, 0)
try('ZRANGEBYLEX', key, '-', '+')
try('ZCOUNT', key, '-inf', '+inf')
try('ZREM', key, 'm')
return missing
`);
