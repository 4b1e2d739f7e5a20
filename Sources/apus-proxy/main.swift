print("apus-proxy")
