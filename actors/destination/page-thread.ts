/** The thread that compresses what a channel's thread has encoded. */
import "../../connectors/formats/parquet/page-thread.ts";
