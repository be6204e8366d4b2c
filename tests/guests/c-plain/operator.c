// The contract guest in C, on the bare bindings of wit-bindgen. What each mode does: ../README.md.
//
// The bindings hand over arguments to be freed here, and free whatever is returned: so all of it is allocated, even text.
// Numbers may be read in place, because the bindings' `cabi_realloc` aligns as malloc does.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operator.h"

typedef operator_string_t text;
typedef wasmill_operator_data_buffer_t buffer;
typedef wasmill_operator_data_column_t column;
typedef wasmill_operator_data_emission_t emission;
typedef wasmill_operator_data_field_t field;
typedef wasmill_operator_data_failure_t failure;
typedef wasmill_operator_data_groups_t groups_of;
typedef wasmill_operator_data_outcome_t outcome;
typedef wasmill_operator_data_reply_t reply;
typedef wasmill_operator_data_rows_t rows_of;
typedef wasmill_operator_description_descriptor_t descriptor;
typedef wasmill_operator_description_port_t port;
typedef exports_wasmill_operator_guest_list_column_t columns_of;

enum mode { KEEP, MAP, FAIL, SUM, RUNNING, MODES };
static const char *const MODE_NAMES[MODES] = {"keep", "map", "fail", "sum", "running"};

// Set by `open`.
static enum mode mode = MODES;

// Zeroed memory for `count` items; there is no answer to having none but to stop.
static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) abort();
  return memory;
}

// The value of `"mode"` in a flat JSON object; MODES if there is none or it is not known.
static enum mode mode_of(const text *config) {
  char json[256] = {0};
  memcpy(json, config->ptr, config->len < sizeof json ? config->len : sizeof json - 1);
  const char *at = strstr(json, "\"mode\"");
  at = at ? strchr(at + 6, '"') : NULL;
  for (int m = 0; at && m < MODES; m++) {
    size_t length = strlen(MODE_NAMES[m]);
    if (strncmp(at + 1, MODE_NAMES[m], length) == 0 && at[1 + length] == '"') return m;
  }
  return MODES;
}

// A column of `count` zeroes.
static column whole_numbers(size_t count) {
  return (column){.values = {allocate(count, sizeof(int64_t)), count * sizeof(int64_t)}};
}

static int64_t *numbers(const column *c) { return (int64_t *)c->values.ptr; }

// An emission of this outcome, as the only one of the reply.
static void emit(reply *ret, uint32_t port, outcome rows) {
  ret->emissions.len = 1;
  ret->emissions.ptr = allocate(1, sizeof(emission));
  ret->emissions.ptr[0] = (emission){.port = port, .rows = rows};
}

// All rows as they are, and this column.
static outcome added(column c) {
  outcome out = {.tag = WASMILL_OPERATOR_DATA_OUTCOME_EXTEND};
  out.val.extend.columns.len = 1;
  out.val.extend.columns.ptr = allocate(1, sizeof *out.val.extend.columns.ptr);
  out.val.extend.columns.ptr[0].column = c;
  return out;
}

static void update_cell(reply *ret, column c) {
  ret->cells.len = 1;
  ret->cells.ptr = allocate(1, sizeof *ret->cells.ptr);
  ret->cells.ptr[0].tag = WASMILL_OPERATOR_DATA_CELL_UPDATE_ALL;
  ret->cells.ptr[0].val.all = c;
}

static field make_field(const char *name, const char *data_type) {
  field f = {.nullable = false};
  operator_string_dup(&f.name, name);
  operator_string_dup(&f.data_type, data_type);
  return f;
}

static port make_port(const char *name, uint8_t shape, const char *column_name) {
  port p = {.shape = {.tag = shape}};
  operator_string_dup(&p.name, name);
  if (shape == WASMILL_OPERATOR_DESCRIPTION_SHAPE_PASS) return p;
  field *fields = allocate(2, sizeof(field));
  fields[0] = make_field(column_name, "int64");
  if (shape == WASMILL_OPERATOR_DESCRIPTION_SHAPE_EXTEND) {
    p.shape.val.extend.columns.ptr = fields;
    p.shape.val.extend.columns.len = 1;
  } else if (shape == WASMILL_OPERATOR_DESCRIPTION_SHAPE_KEY) {
    p.shape.val.key.ptr = fields;
    p.shape.val.key.len = 1;
  } else {
    fields[1] = make_field("text", "utf8");
    p.shape.val.new_.ptr = fields;
    p.shape.val.new_.len = 2;
  }
  return p;
}

static void describe_ports(enum mode m, descriptor *ret) {
  ret->ports.ptr = allocate(2, sizeof(port));
  ret->ports.len = m == RUNNING ? 2 : 1;
  switch (m) {
  case MAP:
    ret->ports.ptr[0] = make_port("out", WASMILL_OPERATOR_DESCRIPTION_SHAPE_EXTEND, "twice");
    break;
  case RUNNING:
    ret->ports.ptr[0] = make_port("out", WASMILL_OPERATOR_DESCRIPTION_SHAPE_EXTEND, "count");
    ret->ports.ptr[1] = make_port("totals", WASMILL_OPERATOR_DESCRIPTION_SHAPE_KEY, "total");
    break;
  case SUM:
    ret->ports.ptr[0] = make_port("out", WASMILL_OPERATOR_DESCRIPTION_SHAPE_NEW, "sum");
    break;
  default:
    ret->ports.ptr[0] = make_port("out", WASMILL_OPERATOR_DESCRIPTION_SHAPE_PASS, NULL);
  }
}

bool exports_wasmill_operator_guest_describe(text *config, exports_wasmill_operator_guest_list_input_t *inputs,
                                             descriptor *ret, text *err) {
  enum mode m = mode_of(config);
  operator_string_free(config);
  exports_wasmill_operator_guest_list_input_free(inputs);
  if (m == MODES) {
    operator_string_dup(err, "mode is not known");
    return false;
  }
  *ret = (descriptor){.timers = m == RUNNING};
  ret->inputs.len = 1;
  ret->inputs.ptr = allocate(1, sizeof *ret->inputs.ptr);
  ret->inputs.ptr[0].keyed = m == RUNNING;
  if (m != RUNNING) {
    ret->inputs.ptr[0].columns.len = 1;
    ret->inputs.ptr[0].columns.ptr = allocate(1, sizeof(text));
    operator_string_dup(ret->inputs.ptr[0].columns.ptr, "a");
  }
  describe_ports(m, ret);
  if (m == RUNNING) {
    ret->cells.len = 1;
    ret->cells.ptr = allocate(1, sizeof *ret->cells.ptr);
    ret->cells.ptr[0].version = 1;
    operator_string_dup(&ret->cells.ptr[0].name, "count");
    operator_string_dup(&ret->cells.ptr[0].kind, "value");
    operator_string_dup(&ret->cells.ptr[0].data_type, "int64");
  }
  return true;
}

bool exports_wasmill_operator_guest_open(exports_wasmill_operator_guest_context_t *context, text *err) {
  mode = mode_of(&context->config);
  exports_wasmill_operator_guest_context_free(context);
  if (mode == MODES) {
    operator_string_dup(err, "mode is not known");
    return false;
  }
  // By way of the C library and WASI into the operator's log.
  fprintf(stderr, "opened in mode %s\n", MODE_NAMES[mode]);
  return true;
}

static void keep_even(const int64_t *n, uint32_t count, reply *ret) {
  outcome out = {.tag = WASMILL_OPERATOR_DATA_OUTCOME_KEEP};
  out.val.keep.len = (count + 7) / 8;
  out.val.keep.ptr = allocate(out.val.keep.len, 1);
  for (uint32_t row = 0; row < count; row++) out.val.keep.ptr[row / 8] |= (n[row] % 2 == 0) << (row % 8);
  emit(ret, 0, out);
}

static void add_twice(const int64_t *n, uint32_t count, reply *ret) {
  column twice = whole_numbers(count);
  for (uint32_t row = 0; row < count; row++) numbers(&twice)[row] = n[row] * 2;
  emit(ret, 0, added(twice));
}

// Counts the rows of each key, one by one; an absent count is 0 and starts the key's timer.
static void count_rows(const groups_of *groups, const column *cell, reply *ret) {
  size_t row_count = groups->of_row.len / sizeof(uint32_t);
  const uint32_t *of_row = (const uint32_t *)groups->of_row.ptr;
  column counts = whole_numbers(groups->count), running = whole_numbers(row_count);
  uint32_t *fresh = allocate(groups->count, sizeof(uint32_t));
  int64_t *times = allocate(groups->count, sizeof(int64_t));
  size_t fresh_count = 0;
  for (uint32_t group = 0; group < groups->count; group++) {
    numbers(&counts)[group] = numbers(cell)[group];
    if (numbers(cell)[group] != 0) continue;
    fresh[fresh_count] = group;
    times[fresh_count++] = INT64_MAX;
  }
  for (size_t row = 0; row < row_count; row++) numbers(&running)[row] = ++numbers(&counts)[of_row[row]];
  emit(ret, 0, added(running));
  update_cell(ret, counts);
  if (fresh_count == 0) {
    free(fresh);
    free(times);
    return;
  }
  ret->timers.len = 1;
  ret->timers.ptr = allocate(1, sizeof *ret->timers.ptr);
  ret->timers.ptr[0] = (wasmill_operator_data_timer_changes_t){
      .domain = WASMILL_OPERATOR_DATA_TIME_DOMAIN_EVENT_TIME,
      .action = WASMILL_OPERATOR_DATA_TIMER_ACTION_SET,
      .groups = {(uint8_t *)fresh, fresh_count * sizeof(uint32_t)},
      .times = {(uint8_t *)times, fresh_count * sizeof(int64_t)},
  };
}

static void replace_by_sum(const int64_t *n, uint32_t count, reply *ret) {
  char words[32];
  int length = snprintf(words, sizeof words, "%u rows", (unsigned)count);
  outcome out = {.tag = WASMILL_OPERATOR_DATA_OUTCOME_REPLACE};
  out.val.replace.count = 1;
  out.val.replace.columns.len = 2;
  column *columns = out.val.replace.columns.ptr = allocate(2, sizeof(column));
  columns[0] = whole_numbers(1);
  for (uint32_t row = 0; row < count; row++) numbers(&columns[0])[0] += n[row];
  uint32_t *offsets = allocate(2, sizeof(uint32_t));
  offsets[1] = length;
  columns[1].offsets.is_some = true;
  columns[1].offsets.val = (buffer){(uint8_t *)offsets, 2 * sizeof(uint32_t)};
  columns[1].values = (buffer){allocate(length, 1), length};
  memcpy(columns[1].values.ptr, words, length);
  emit(ret, 0, out);
}

// False if some number is negative.
static bool pass_or_fail(const int64_t *n, uint32_t count, reply *ret, failure *err) {
  for (uint32_t row = 0; row < count; row++) {
    if (n[row] >= 0) continue;
    *err = (failure){.row = {.is_some = true, .val = row}};
    char words[48];
    snprintf(words, sizeof words, "%lld is negative", (long long)n[row]);
    operator_string_dup(&err->message, words);
    return false;
  }
  emit(ret, 0, (outcome){.tag = WASMILL_OPERATOR_DATA_OUTCOME_UNCHANGED});
  return true;
}

bool exports_wasmill_operator_guest_process(uint32_t input, rows_of *rows, groups_of *maybe_groups, columns_of *state,
                                            reply *ret, failure *err) {
  bool done = true;
  *ret = (reply){0};
  const int64_t *n = mode == RUNNING ? NULL : numbers(&rows->columns.ptr[0]);
  switch (mode) {
  case KEEP: keep_even(n, rows->count, ret); break;
  case MAP: add_twice(n, rows->count, ret); break;
  case RUNNING: count_rows(maybe_groups, &state->ptr[0], ret); break;
  case SUM: replace_by_sum(n, rows->count, ret); break;
  default: done = pass_or_fail(n, rows->count, ret, err);
  }
  exports_wasmill_operator_guest_rows_free(rows);
  if (maybe_groups) exports_wasmill_operator_guest_groups_free(maybe_groups);
  exports_wasmill_operator_guest_list_column_free(state);
  return done;
}

bool exports_wasmill_operator_guest_on_timers(exports_wasmill_operator_guest_time_domain_t domain, rows_of *due,
                                              groups_of *groups, columns_of *state, reply *ret, failure *err) {
  *ret = (reply){0};
  const uint32_t *of_row = (const uint32_t *)groups->of_row.ptr;
  column totals = whole_numbers(due->count);
  for (uint32_t row = 0; row < due->count; row++) numbers(&totals)[row] = numbers(&state->ptr[0])[of_row[row]];
  emit(ret, 1, added(totals));
  column cleared = whole_numbers(groups->count);
  size_t bytes = (groups->count + 7) / 8;
  cleared.validity.is_some = true;
  cleared.validity.val = (buffer){allocate(bytes, 1), bytes};
  update_cell(ret, cleared);
  exports_wasmill_operator_guest_rows_free(due);
  exports_wasmill_operator_guest_groups_free(groups);
  exports_wasmill_operator_guest_list_column_free(state);
  return true;
}

bool exports_wasmill_operator_guest_on_notice(exports_wasmill_operator_guest_notice_t *notice, reply *ret, failure *err) {
  *err = (failure){.fatal = true};
  operator_string_dup(&err->message, "no notice was asked for");
  return false;
}
