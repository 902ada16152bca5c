#pragma once

#include "pipeline/formats/row_writer.h"

namespace millrace {

/// Our own format: part-NNNNN.rows, each a RowsPart of as many rows as there is room for (the last one of fewer).
std::unique_ptr<RowWriter> make_rows_writer(StagedFolder& folder, const RowFiles& files);
std::vector<Damage> damage_of_rows(const std::filesystem::path& folder, const WrittenRows& rows);

/// How many rows a part has, at least 1, and what its file is called.
std::uint64_t rows_a_part(std::uint64_t part_bytes, int length);
std::string name_of_part(std::uint64_t part);

}  // namespace millrace
