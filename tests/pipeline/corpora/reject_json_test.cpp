#include "pipeline/corpora/reject_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pipeline/export/export_account.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/position.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using testing::HasSubstr;

JsonValue parsed(const Json& json) {
  return JsonValue::parse(json_line(json), {"kept.json", 0, ""});
}

/// The error of reading `json`; empty: none.
template <class Read>
std::string complaint_of(const Read& read, const Json& json) {
  try {
    read(parsed(json));
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

RC_GTEST_PROP(RejectCounts, ComeBackFromJson, ()) {
  RejectCounts counts{};
  for (std::uint64_t& count : counts) count = *rc::gen::element<std::uint64_t>(0, 1, 7, ~std::uint64_t{0});
  RC_ASSERT(reject_counts_of(parsed(reject_counts_json(counts))) == counts);
}

TEST(RejectCounts, AreNotReadWithoutThoseOfAnUnknownCause) {
  StreamPosition position;
  position.corpora.resize(1);
  Json place = position;
  place["corpora"][0]["records"]["rejected"] = {{"bad_json", 1}, {"torn", 3}};
  const auto read_position = [](const JsonValue& json) { (void)json.as<StreamPosition>(); };
  EXPECT_THAT(complaint_of(read_position, place),
              HasSubstr("corpora[0].records.rejected.torn is no cause of a reject"));

  Json account = CorpusAccount();
  account["rejects_by_cause"] = {{"torn", 3}};
  const auto read_account = [](const JsonValue& json) { (void)json.as<CorpusAccount>(); };
  EXPECT_THAT(complaint_of(read_account, account), HasSubstr("rejects_by_cause.torn is no cause of a reject"));
}

}  // namespace
}  // namespace millrace
