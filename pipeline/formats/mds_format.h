#pragma once

#include "pipeline/formats/row_writer.h"

namespace millrace {

/// Mosaic Streaming's MDS: shard.NNNNN.mds.zstd, each a whole MDS shard compressed, or shard.NNNNN.mds, which its
/// LocalDataset reads, too; and index.json with the xxh3_64 of each, before and after compression. Columns labels,
/// positions, segment_ids, tokens ("ndarray:int32") and loss_weights
/// ("ndarray:float32"), each of T values.
std::unique_ptr<RowWriter> make_mds_writer(StagedFolder& folder, const RowFiles& files);
std::unique_ptr<RowWriter> make_plain_mds_writer(StagedFolder& folder, const RowFiles& files);
/// Of either.
std::vector<Damage> damage_of_mds(const std::filesystem::path& folder, const WrittenRows& rows);

}  // namespace millrace
