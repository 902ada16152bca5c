#include <nlohmann/json.hpp>

#include "tests/property.h"
#include "tests/stages/parquet/parquet_fixture.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

/// One of `choices`, or null with probability 1/4.
Json one_of_or_null(const std::vector<Json>& choices) {
  return *rc::gen::inRange(0, 4) == 0 ? Json() : *rc::gen::elementOf(choices);
}

/// At most three values of `one`, or null.
template <class One>
Json list_of(const One& one) {
  if (*rc::gen::inRange(0, 5) == 0) return {};
  Json list = Json::array();
  const int size = *rc::gen::inRange(0, 4);
  for (int i = 0; i < size; ++i) list.push_back(one());
  return list;
}

Json struct_or_null(Json fields) {
  return *rc::gen::inRange(0, 5) == 0 ? Json() : fields;
}

const std::vector<Json> kTexts{"a", "b", "", "true", "2", "\xC3\xA9'\"", "a.b"};
const std::vector<Json> kNumbers{1, 2, -3};

Json random_row() {
  const auto text = [] { return one_of_or_null(kTexts); };
  const auto number = [] { return one_of_or_null(kNumbers); };
  const auto named = [&] {
    return struct_or_null({{"name", text()}, {"deep", struct_or_null({{"x", number()}})}, {"tags", list_of(text)}});
  };
  return {{"content", text()},      {"n", number()},         {"ok", one_of_or_null({true, false})},
          {"meta", named()},        {"list", list_of(text)}, {"lists", list_of([&] { return list_of(number); })},
          {"langs", list_of(named)}};
}

constexpr const char* kNamed = "STRUCT(name VARCHAR, deep STRUCT(x BIGINT), tags VARCHAR[])";

/// Shards with the same content, as JSON lines and as Parquet.
struct Twins {
  explicit Twins(const TemporaryFolder& folder) {
    const int rows = *rc::gen::inRange(1, 12);
    std::string lines;
    for (int i = 0; i < rows; ++i) lines += random_row().dump() + "\n";
    json = folder.write("twin.jsonl", lines);
    parquet = folder.write("twin.parquet", "");
    DuckdbSession().query("COPY (SELECT * FROM read_json(" + sql_string(json) +
                          ", format = 'newline_delimited', columns = {content: 'VARCHAR', n: 'BIGINT', ok: 'BOOLEAN', "
                          "meta: '" +
                          kNamed + "', list: 'VARCHAR[]', lists: 'BIGINT[][]', langs: '" + kNamed + "[]'})) TO " +
                          sql_string(parquet) + " (FORMAT parquet, ROW_GROUP_SIZE 2048)");
  }
  std::string json;
  std::string parquet;
};

std::string random_path() {
  return *rc::gen::element<std::string>("content", "n", "ok", "meta", "meta.name", "meta.deep", "meta.deep.x",
                                        "meta.tags", "list", "lists", "langs", "langs.name", "langs.deep.x",
                                        "langs.tags", "nowhere", "meta.nowhere", "langs.nowhere", "content.x",
                                        "Meta.name", "meta.deep.x.y");
}

FieldRule random_rule() {
  return {random_path(), *rc::gen::container<Strings>(rc::gen::element<std::string>(
                             "a", "b", "", "true", "false", "1", "2", "-3", "\xC3\xA9'\"", "a.b", "null"))};
}

#ifdef MILLRACE_HAS_DUCKDB
TEST(Parquet, MeansByAPathWhatJsonMeans) {
  expect_holds(25, [] {
    const TemporaryFolder folder;
    const Twins twins(folder);
    for (int trial = 0; trial < 4; ++trial) {
      ReadOptions options;
      options.layout.text_field = *rc::gen::arbitrary<bool>() ? "content" : random_path();
      options.fields = {random_path(), random_path()};
      if (*rc::gen::arbitrary<bool>()) options.filter.keep = {random_rule()};
      if (*rc::gen::arbitrary<bool>()) options.filter.drop = {random_rule()};
      const Reading json = read_shard(twins.json, 0, options);
      const Reading parquet = read_shard(twins.parquet, 0, options);
      RC_ASSERT(parquet.texts() == json.texts());
      RC_ASSERT(parquet.records() == json.records());
      RC_ASSERT(parquet.filtered == json.filtered);
      RC_ASSERT(parquet.causes() == json.causes());
      for (std::size_t i = 0; i < json.documents.size(); ++i)
        RC_ASSERT(parquet.documents[i].fields == json.documents[i].fields);
    }
  });
}
#endif

}  // namespace
}  // namespace millrace
