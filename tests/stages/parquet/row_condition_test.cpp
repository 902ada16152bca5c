#include "stages/parquet/row_condition.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stages/parquet/duckdb_session.h"
#include "stages/parquet/pure_functions.h"
#include "tests/stages/parquet/parquet_fixture.h"

namespace millrace {
namespace {

class WhereIsRefused : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef MILLRACE_HAS_DUCKDB
    GTEST_SKIP() << "built without DuckDB: run scripts/deps.sh";
#endif
  }
  static void expect_refused(const std::string& where, const std::string& complaint = "") {
    try {
      const RowCondition condition(where);
      ADD_FAILURE() << where << " was taken";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(complaint), std::string::npos) << where << ": " << error.what();
      EXPECT_EQ(std::string(error.what()).rfind("byte ", 0), 0U) << error.what();
    }
  }
};

TEST_F(WhereIsRefused, ThatGivesAnotherResultEachTime) {
  expect_refused("random() < 0.5", "byte 1: random()");
  expect_refused("size > 3 AND RANDOM() < 0.5", "byte 14: random()");
  for (const char* where :
       {"uuid() = 'x'", "gen_random_uuid() IS NULL", "setseed(0.5) IS NULL", "list_sort([random()]) = [1]",
        "len(list_filter(list, lambda x: x > random())) > 3", "CASE WHEN random() > 0.5 THEN true END",
        "size BETWEEN 1 AND random()", "{'a': random()}.a > 0.5", "size IN (1, random())", "random()::INT = 1",
        "[random() for x in list] = [1]", "list_aggregate(list, 'reservoir_quantile', 0.5) > 3", "\"random\"() > 0.5",
        "main.random() > 0.5", "system.main.random() > 0.5", "txid_current() = 3", "arg_min(size, random()) = 1"}) {
    expect_refused(where);
  }
}

TEST_F(WhereIsRefused, ThatAsksForTheTime) {
  for (const char* where :
       {"now() > date", "today() = date", "get_current_timestamp() > date", "age(date) > INTERVAL 1 DAY",
        "transaction_timestamp() > date", "current_localtimestamp() > date", "ago(INTERVAL 1 DAY) > date",
        "pg_conf_load_time() > date"}) {
    expect_refused(where);
  }
  for (const char* where : {"current_date > date", "date < CURRENT_TIMESTAMP", "current_time IS NULL",
                            "localtime > date", "localtimestamp > date"}) {
    expect_refused(where, "is a value of the moment");
  }
}

TEST_F(WhereIsRefused, ThatReadsAWordForTheTimeAsATime) {
  expect_refused("date > 'now'::TIMESTAMP", "byte 8: 'now' as a time would be that of the moment");
  for (const char* where :
       {"'now'::TIMESTAMP > date", "date > DATE 'today'", "CAST('now' AS TIMESTAMPTZ) > date",
        "TRY_CAST(' Yesterday ' AS DATE) > date", "date = 'tomorrow'::TIMESTAMP_NS", "'NOW'::TIME > time",
        "date = 'now'::VARCHAR::TIMESTAMP", "['now', 'today']::DATE[] = dates", "{'a': 'now'}::STRUCT(a TIMESTAMP) = s",
        "date BETWEEN '2020-01-01' AND TIMESTAMP 'now'", "CASE WHEN DATE 'today' > date THEN true END"}) {
    expect_refused(where, "write the date or time meant");
  }
}

TEST_F(WhereIsRefused, ThatReadsFilesOrSettings) {
  for (const char* where :
       {"current_setting('threads') = '1'", "getvariable('x') = 1", "getenv('HOME') = '/root'", "version() = 'v1'",
        "current_database() = 'memory'", "current_schemas(true) = ['x']", "current_query() = ''",
        "read_text('/etc/passwd') = ''", "read_csv('/etc/passwd') = ''", "user = 'duckdb'", "current_user = 'duckdb'",
        "session_user = 'duckdb'", "json_serialize_plan('SELECT 1') = ''", "write_log('x') IS NULL",
        "sleep_ms(3) IS NULL", "error('x')", "parse_duckdb_log_message('x', 'y') IS NULL"}) {
    expect_refused(where);
  }
}

TEST_F(WhereIsRefused, ThatCountsThroughASequence) {
  for (const char* where : {"nextval('s') = 1", "currval('s') = 1"}) expect_refused(where);
}

TEST_F(WhereIsRefused, ThatLooksAtOtherRows) {
  for (const char* where : {"count(*) > 3", "sum(size) > 3", "max(size) = size", "row_number() OVER () < 5",
                            "sum(size) OVER (ORDER BY size) > 3", "lag(size) OVER () = 3", "GROUPING(size) = 1",
                            "COLUMNS('a.*') = 3", "unnest(list) = 3", "#1 = 3",
                            "count(size) FILTER "
                            "(WHERE size > 3) > 1",
                            "*", "any_value(size) = 3"}) {
    expect_refused(where);
  }
}

TEST_F(WhereIsRefused, ThatHasASubquery) {
  for (const char* where : {"size IN (SELECT 1)", "EXISTS (SELECT 1)", "(SELECT true)",
                            "size = (SELECT count(*) FROM "
                            "read_text('/etc/passwd'))",
                            "size = ANY(SELECT 1)", "NOT EXISTS (FROM duckdb_settings())", "size = ANY(list)",
                            "size > ALL (VALUES (1))", "ARRAY(SELECT 1) = [1]"}) {
    expect_refused(where);
  }
}

TEST_F(WhereIsRefused, ThatClosesAParenthesisAndGoesOn) {
  for (const char* where : {"size = 1); SELECT (2",
                            "size = 1) OR (true",
                            "true) UNION ALL (SELECT 1",
                            "1) , (2",
                            "true) AS x FROM (VALUES (1)",
                            "a) = (b",
                            "true)--",
                            "true) /*",
                            "1 = 1) LIMIT (3",
                            "size = 1; DROP TABLE x",
                            "true; SELECT 1",
                            "true, false",
                            "true AS yes",
                            "true FROM x",
                            "true LIMIT 1",
                            "true ORDER BY 1",
                            "DISTINCT size",
                            "true UNION SELECT 1",
                            ")(",
                            ")",
                            "(",
                            "",
                            " ",
                            "--",
                            "size >",
                            "size = = 1",
                            "/* open",
                            "'open",
                            "\"open",
                            "SELECT 1",
                            "WITH x AS (SELECT 1) SELECT 1",
                            "true GROUP BY size",
                            "true WHERE false",
                            "true QUALIFY true",
                            "true WINDOW w AS ()"}) {
    expect_refused(where);
  }
  expect_refused("size = 1); SELECT (2", "byte 9: syntax error at or near \")\"");
}

TEST_F(WhereIsRefused, ThatWaitsForAParameter) {
  for (const char* where : {"size = ?", "size = $1", "size = $size"}) expect_refused(where);
}

class Where : public WhereIsRefused {};

TEST_F(Where, IsAnyExpressionOverTheRow) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases{
      {"max_line_length < 1000 AND size > 100", {"max_line_length", "size"}},
      {"size > 1 -- a comment", {"size"}},
      {"size /* of the file */ > 1", {"size"}},
      {"lang IN ('C', 'C++') OR lang LIKE 'P%' OR lang ILIKE 'r_st' OR lang SIMILAR TO '[a-z]+'", {"lang"}},
      {"meta.lang = 'en' AND \"meta\".\"x y\" IS NOT NULL", {"meta"}},
      {"list_contains(licenses, 'MIT') AND len(licenses) = 1 AND licenses[1] = 'MIT'", {"licenses"}},
      {"list_filter(l, lambda x: x > size)[1:2] = [size]", {"l", "size"}},
      {"list_filter(l, x -> x > size) = l AND x = 3", {"l", "size", "x"}},
      {"list_reduce(l, lambda a, b: a + b + c) > 3", {"c", "l"}},
      {"[x + y for x in l if x > 3] = l", {"l", "y"}},
      {"meta ->> '$.lang' = 'en' AND meta -> 'x' IS NULL", {"meta"}},
      {"CASE WHEN a THEN b ELSE c END AND d NOT BETWEEN e AND f", {"a", "b", "c", "d", "e", "f"}},
      {"(a, b) = (1, 2) AND {'k': c}.k = 1 AND MAP {'k': d}['k'] = 1", {"a", "b", "c", "d"}},
      {"date > DATE '2020-01-01' AND date + INTERVAL 3 DAYS < TIMESTAMP '2021-01-01' AND extract(year FROM date) = "
       "2020",
       {"date"}},
      {"hash(id) % 100 < 5 AND md5(id) > 'a' AND -size + 2 ** 3 // 4 <> 5", {"id", "size"}},
      {"\"user\" = 'x' AND \"current_date\" = 'y' AND \"a\"\"b\" = 1", {"a\"b", "current_date", "user"}},
      {"text COLLATE nocase = 'x' AND text IS DISTINCT FROM 'y' AND try_cast(text AS INT) IS NULL", {"text"}},
      {"'\xC3\xA9' = \"gr\xC3\xB6\xC3\x9F"
       "e\" AND \xC3\xBC = 1",
       {"gr\xC3\xB6\xC3\x9F"
        "e",
        "\xC3\xBC"}},
      {"true", {}},
      {"NULL", {}},
      {"Size = SIZE", {"SIZE", "Size"}},
      {"coalesce(a, nullif(b, 0), ifnull(c, 1)) = if(d, 1, 2)", {"a", "b", "c", "d"}},
  };
  for (const auto& [where, columns] : cases) {
    try {
      EXPECT_EQ(RowCondition(where).columns(), columns) << where;
    } catch (const ConfigError& error) {
      ADD_FAILURE() << where << ": " << error.what();
    }
  }
}

/// Texts are cast implicitly to times when compared with one: no word may then mean the current time.
TEST_F(Where, FindsNoWordThatStandsForTheClock) {
  DuckdbSession session;
  for (const char* type :
       {"DATE", "TIME", "TIMETZ", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}) {
    for (const char* word : {"now", "today", "tomorrow", "yesterday", "current_date", "current_timestamp"}) {
      DuckdbRows rows =
          session.query(std::string("SELECT CAST(TRY_CAST('") + word + "' AS " + type + ") IS NULL AS VARCHAR)");
      ASSERT_TRUE(rows.next_chunk());
      EXPECT_EQ(rows.text(0, 0), "true") << word << " as " << type;
    }
  }
}

TEST_F(Where, TakesWordsForTheTimeAsTexts) {
  for (const char* where :
       {"state = 'now'", "'now'::VARCHAR = state", "replace(date, 'now', '2020-01-01')::DATE > date",
        "date > 'epoch'::TIMESTAMP AND date < 'infinity'::TIMESTAMP"})
    EXPECT_NO_THROW(RowCondition{where}) << where;
}

TEST_F(Where, ReckonsTimesInTheSameZoneAndCalendarOnEveryMachine) {
  ::setenv("LC_ALL", "th_TH.UTF-8", 1);  // Read once per process, by the first session.
  ::setenv("TZ", "Asia/Tokyo", 1);
  DuckdbSession session;
  DuckdbRows rows = session.query(
      "SELECT current_setting('TimeZone') || ' ' || current_setting('Calendar') || ' ' || "
      "year(TIMESTAMPTZ '2020-01-01 00:30:00+01') || ' ' || CAST(timezone('Europe/Berlin', TIMESTAMP '2020-07-01') AS "
      "VARCHAR)");
  ASSERT_TRUE(rows.next_chunk());
  EXPECT_EQ(rows.text(0, 0), "UTC gregorian 2019 2020-06-30 22:00:00+00");
}

TEST_F(Where, HasNoZeroBytes) {
  for (const std::string& where :
       {std::string(1, '\0'), std::string("a = 1\0 garbage", 14), std::string("a = '\0'", 7)}) {
    try {
      const RowCondition condition(where);
      ADD_FAILURE() << where;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(fmt::format("byte {}: a zero byte", where.find('\0') + 1)),
                std::string::npos)
          << error.what();
    }
  }
}

TEST_F(Where, KeepsAllButTheNamesWhereItsColumnsAreReplaced) {
  const RowCondition condition("\"a\"\"b\" = 'a' AND meta.lang = a -- a\n OR list_filter(l, lambda a: a > c) = [a]");
  EXPECT_EQ(condition.with([](const std::string& name) { return "<" + name + ">"; }),
            "<a\"b> = 'a' AND <meta>.lang = <a> -- a\n OR list_filter(<l>, lambda a: a > <c>) = [<a>]");
}

TEST_F(Where, MayUseFunctionsThatDuckdbKnowsAndCallsConsistent) {
  EXPECT_TRUE(std::ranges::is_sorted(pure_functions()));
  std::string names;
  for (const std::string_view name : pure_functions()) names += (names.empty() ? "" : ", ") + sql_string(name);
  DuckdbSession session;
  DuckdbRows rows = session.query(
      "SELECT name, coalesce(CAST(sum(CASE WHEN f.function_type = 'macro' OR f.stability = 'CONSISTENT' THEN 0 ELSE 1 "
      "END) "
      "AS BIGINT), 0) FROM (SELECT unnest([" +
      names +
      "]) AS name) LEFT JOIN (FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')) f ON f.function_name "
      "= "
      "name GROUP BY name");
  std::size_t known = 0;
  while (rows.next_chunk()) {
    for (std::size_t i = 0; i < rows.size(); ++i, ++known) EXPECT_EQ(rows.number(1, i), 0) << rows.text(0, i);
  }
  EXPECT_EQ(known, pure_functions().size());
}

TEST_F(Where, HasItsFunctionsListedInTheDocumentation) {
  const std::string page = bytes_of(MILLRACE_SOURCE_DIR "/docs/shards.md");
  std::string list = page.substr(page.find("## Functions in `where`"));
  std::ranges::replace(list, '\n', ' ');
  for (const std::string_view name : pure_functions()) {
    if (name == "!__postfix") continue;
    const bool is_word = std::isalpha(static_cast<unsigned char>(name.front())) != 0;
    const std::string shown = is_word ? " " + std::string(name) : "`" + std::string(name) + "`";
    EXPECT_TRUE(list.find(shown + ",") != std::string::npos || list.find(shown + ".") != std::string::npos ||
                (!is_word && list.find(shown) != std::string::npos))
        << name;
  }
}

}  // namespace
}  // namespace millrace
