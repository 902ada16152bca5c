#pragma once

#include <variant>

#include "model/kernels/adafactor.h"
#include "model/kernels/adafactor_whole.h"
#include "model/kernels/adamw.h"
#include "model/kernels/attention.h"
#include "model/kernels/dropout.h"
#include "model/kernels/loss_row.h"
#include "model/kernels/multiply_rows.h"
#include "model/kernels/norm_rows.h"
#include "model/kernels/routing.h"
#include "model/kernels/row_pieces.h"
#include "model/kernels/rows.h"
#include "model/kernels/slots.h"
#include "model/kernels/swiglu.h"

namespace millrace {

/// Every kernel that a Device runs.
using AnyKernel =
    std::variant<EmbeddingRows, EmbeddingGradient, DropRows, DropKeys, DropSlots, AddDropped, NormRows,
                 NormRowsBackward, AddPieces, TurnHeads, SeeItself, AttendQueries, AttendQueriesBackward,
                 AttendKeysBackward, SwigluRows, SwigluBackward, MultiplyRows, CopyRows, AddRows, ScatterLowRows,
                 RoundRows, GatherRows, ScatterRows, LossRow, RouteTokens, QueuePairs, PlaceSlots, EmptySlots,
                 FillSlots, SumRouting, RouteBackward, GatherSlots, GatherSlotsBackward, CombineSlots, CombineBackward,
                 SumSquares, AdafactorSums, AdafactorColumns, AdafactorRowSums, AdafactorFactors, AdafactorMoments,
                 AdafactorCheck, AdafactorApply, AdafactorWholeMoments, AdafactorWholeCheck, AdafactorWholeApply,
                 AdamWCheck, AdamWApply>;

}  // namespace millrace
